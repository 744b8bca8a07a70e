"""Choices: from a front and a preference to one point, with what it gives up."""

from paretomerge.choices.by_weights import ByWeights
from paretomerge.choices.choice import Choice, ChoiceRule, choose
from paretomerge.choices.knee import Knee
from paretomerge.choices.reference_point import ReferencePoint
from paretomerge.choices.thresholds import Thresholds

__all__ = ["ByWeights", "Choice", "ChoiceRule", "Knee", "ReferencePoint", "Thresholds", "choose"]
