"""Merge rules: T posteriors and K weightings to K sets of parameters, block by block."""

from paretomerge.merging.averaging import Averaging
from paretomerge.merging.base import Domain, Inputs, MergeRule, Outputs, collect_inputs
from paretomerge.merging.breadcrumbs import Breadcrumbs
from paretomerge.merging.by_pattern import ByPattern
from paretomerge.merging.coordinates import merge_coordinates
from paretomerge.merging.dare import Dare
from paretomerge.merging.della import Della
from paretomerge.merging.fisher import FisherWeighted
from paretomerge.merging.merge import NewTensors, merge, merge_blocks
from paretomerge.merging.merged_params import MergedParams
from paretomerge.merging.merged_precision import MergedPrecision, sample_merged
from paretomerge.merging.mixture import GroupResponsibilities, MixtureMerge, mixture_responsibilities
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.resident import ResidentMerge, merge_into
from paretomerge.merging.slerp import Slerp
from paretomerge.merging.task_arithmetic import TaskArithmetic
from paretomerge.merging.ties import Ties
from paretomerge.merging.values import BlockValues
from paretomerge.merging.weighted_sum import WeightedSum

__all__ = [
    "Averaging",
    "BlockValues",
    "Breadcrumbs",
    "ByPattern",
    "Dare",
    "Della",
    "Domain",
    "FisherWeighted",
    "GroupResponsibilities",
    "Inputs",
    "MergeRule",
    "MixtureMerge",
    "MergedParams",
    "MergedPrecision",
    "NewTensors",
    "Outputs",
    "PosteriorMerge",
    "ResidentMerge",
    "Slerp",
    "TaskArithmetic",
    "Ties",
    "WeightedSum",
    "collect_inputs",
    "merge",
    "merge_blocks",
    "merge_coordinates",
    "merge_into",
    "mixture_responsibilities",
    "sample_merged",
]
