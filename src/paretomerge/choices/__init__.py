"""Choices: from a front and a preference to one point, with what it gives up."""

from paretomerge.choices.by_weights import ByWeights
from paretomerge.choices.choice import Alternative, Choice, ChoiceRule, choose
from paretomerge.choices.classification import Classification
from paretomerge.choices.criterion import CriterionRule
from paretomerge.choices.knee import Knee
from paretomerge.choices.one_standard_error import OneStandardError
from paretomerge.choices.reference_point import ReferencePoint
from paretomerge.choices.regret import MinimumRegret
from paretomerge.choices.thresholds import Thresholds

__all__ = [
    "Alternative",
    "ByWeights",
    "Choice",
    "ChoiceRule",
    "Classification",
    "CriterionRule",
    "Knee",
    "MinimumRegret",
    "OneStandardError",
    "ReferencePoint",
    "Thresholds",
    "choose",
]
