"""Diagnoses: signs that a preview will fail, with the remedy to try, before money is spent."""

from paretomerge.diagnoses.barrier import Barrier, barriers_between, barriers_of, path_weights
from paretomerge.diagnoses.conflict import Overlap, task_vector_overlaps, tasks_conflict, transfers_of
from paretomerge.diagnoses.diagnosis import Diagnosis, Severity, Signature, gravest_first
from paretomerge.diagnoses.disagreement import Agreement, agreement_of, predictions_disagree
from paretomerge.diagnoses.distance import constant_guess, far_from_finetunes, posterior_distance
from paretomerge.diagnoses.power import examples_needed, underpowered

__all__ = [
    "Agreement",
    "Barrier",
    "Diagnosis",
    "Overlap",
    "Severity",
    "Signature",
    "agreement_of",
    "barriers_between",
    "barriers_of",
    "constant_guess",
    "examples_needed",
    "far_from_finetunes",
    "gravest_first",
    "path_weights",
    "posterior_distance",
    "predictions_disagree",
    "task_vector_overlaps",
    "tasks_conflict",
    "transfers_of",
    "underpowered",
]
