"""Merge rules: T posteriors and K weightings to K sets of parameters, block by block."""

from paretomerge.merging.averaging import Averaging
from paretomerge.merging.base import Domain, Inputs, MergeRule, as_values, collect_inputs, merge_blocks
from paretomerge.merging.coordinates import merge_coordinates
from paretomerge.merging.merge import merge
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.task_arithmetic import TaskArithmetic

__all__ = [
    "Averaging",
    "Domain",
    "Inputs",
    "MergeRule",
    "PosteriorMerge",
    "TaskArithmetic",
    "as_values",
    "collect_inputs",
    "merge",
    "merge_blocks",
    "merge_coordinates",
]
