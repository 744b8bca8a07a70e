"""Searches by real evaluations of real merges: where they look, what they measure, and two that are not ours."""

from benchmarks.suite.methods.searching.evolution import EvolvedModels
from benchmarks.suite.methods.searching.kept import Kept, kept_of
from benchmarks.suite.methods.searching.measuring import Measuring
from benchmarks.suite.methods.searching.predictions import predictions_of
from benchmarks.suite.methods.searching.published_map import PublishedMap
from benchmarks.suite.methods.searching.spaces import Space, SpaceName, domain_of, space_of

__all__ = [
    "EvolvedModels",
    "Kept",
    "Measuring",
    "PublishedMap",
    "Space",
    "SpaceName",
    "domain_of",
    "kept_of",
    "predictions_of",
    "space_of",
]
