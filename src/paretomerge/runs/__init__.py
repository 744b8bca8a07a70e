"""Run folders and their journal: nothing measured is lost, and the same command resumes."""

from paretomerge.runs.claims import Claims, alone
from paretomerge.runs.energy import EnergyMeter
from paretomerge.runs.folder import RunFolder, RunSummary, list_runs
from paretomerge.runs.journal import Journal, StoredFailure, evaluation_key
from paretomerge.runs.measurements import recall_prefix, recall_tasks, remember_tasks

__all__ = [
    "Claims",
    "EnergyMeter",
    "Journal",
    "RunFolder",
    "RunSummary",
    "StoredFailure",
    "alone",
    "evaluation_key",
    "list_runs",
    "recall_prefix",
    "recall_tasks",
    "remember_tasks",
]
