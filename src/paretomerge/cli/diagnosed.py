"""Diagnoses of a run as warnings, before money is spent on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from paretomerge.diagnoses import Diagnosis
    from paretomerge.stages import Study


def warn_of(diagnoses: Iterable[Diagnosis]) -> None:
    """Warnings go to standard error; notes are for `diagnose` and the report."""
    for diagnosis in diagnoses:
        if diagnosis.severity == "warning":
            typer.echo(f"warning: {diagnosis}", err=True)


def warn_of_run(study: Study) -> None:
    """What is already known of a run's front; nothing is measured for it."""
    from paretomerge.stages.free_diagnoses import stored_diagnoses

    warn_of(stored_diagnoses(study))
