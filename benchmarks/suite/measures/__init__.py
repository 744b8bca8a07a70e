"""From recordings to numbers: one seed of one setting."""

from benchmarks.suite.measures.description import Description, describe
from benchmarks.suite.measures.seed import UNCERTAINTY, measure, measured
from benchmarks.suite.measures.truth import Truth, remembered

__all__ = ["UNCERTAINTY", "Description", "Truth", "describe", "measure", "measured", "remembered"]
