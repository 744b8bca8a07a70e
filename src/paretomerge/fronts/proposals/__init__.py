"""Proposals: which points to evaluate next."""

from paretomerge.fronts.proposals.batch import Proposal, propose, propose_from
from paretomerge.fronts.proposals.candidates import Outlook, Scaling, look_around
from paretomerge.fronts.proposals.improvement import Boxes, undominated_boxes
from paretomerge.fronts.proposals.information import InformationCriterion
from paretomerge.fronts.proposals.noisy import HypervolumeCriterion
from paretomerge.fronts.proposals.scalarised import ScalarisedCriterion, chebyshev, preferences
from paretomerge.fronts.proposals.value import expected_gain

__all__ = [
    "Boxes",
    "HypervolumeCriterion",
    "InformationCriterion",
    "Outlook",
    "Proposal",
    "Scaling",
    "ScalarisedCriterion",
    "chebyshev",
    "expected_gain",
    "look_around",
    "preferences",
    "propose",
    "propose_from",
    "undominated_boxes",
]
