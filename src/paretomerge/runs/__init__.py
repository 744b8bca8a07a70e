"""Run folders and their journal: nothing measured is lost, and the same command resumes."""

from paretomerge.runs.folder import RunFolder, RunSummary, list_runs
from paretomerge.runs.journal import Journal, evaluation_key

__all__ = ["Journal", "RunFolder", "RunSummary", "evaluation_key", "list_runs"]
