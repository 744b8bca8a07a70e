"""Merge rules: T posteriors and K weightings to K sets of parameters, block by block."""

from paretomerge.merging.averaging import Averaging
from paretomerge.merging.base import Domain, Inputs, MergeRule, Outputs, collect_inputs
from paretomerge.merging.by_pattern import ByPattern
from paretomerge.merging.coordinates import merge_coordinates
from paretomerge.merging.merge import NewTensors, merge, merge_blocks, merge_into
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.resident import ResidentMerge
from paretomerge.merging.task_arithmetic import TaskArithmetic
from paretomerge.merging.values import BlockValues
from paretomerge.merging.weighted_sum import WeightedSum

__all__ = [
    "Averaging",
    "BlockValues",
    "ByPattern",
    "Domain",
    "Inputs",
    "MergeRule",
    "NewTensors",
    "Outputs",
    "PosteriorMerge",
    "ResidentMerge",
    "TaskArithmetic",
    "WeightedSum",
    "collect_inputs",
    "merge",
    "merge_blocks",
    "merge_coordinates",
    "merge_into",
]
