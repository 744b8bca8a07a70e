"""`paretomerge runs`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from paretomerge.stages.integrity import Integrity

EXAMPLE = "paretomerge runs experiments/"


def command(
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="Where to look.")] = ".",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check that nothing of a run is lost or changed: its journal, posteriors, trained models, recipe and "
            "checkpoints are read whole, and nothing is written. DIR is a run, or a folder of runs. Ends with 1 where "
            "something is wrong.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the runs in a folder, and what each has cost; or check them."""
    if verify:
        _verify(Path(directory), json)
        return
    from paretomerge.runs import list_runs

    found = list_runs(Path(directory))
    if json:
        print_json([asdict(summary) for summary in found])
        return
    if not found:
        typer.echo(f"no runs in {directory}")
        return
    from rich.console import Console

    from paretomerge.reports import compact_table

    columns = [
        ("run", [summary.path for summary in found]),
        ("stages", [", ".join(summary.stages) for summary in found]),
        ("evaluations", [str(summary.evaluations) for summary in found]),
        ("trainings", [str(summary.trainings) for summary in found]),
        ("seconds", [f"{summary.seconds:.1f}" for summary in found]),
    ]
    Console().print(compact_table(columns, "runs", left=2))


def _verify(directory: Path, json: bool) -> None:
    from paretomerge.cli.progress import shown_progress
    from paretomerge.stages import check_integrity
    from paretomerge.stages.integrity import runs_in

    with shown_progress(quiet=json) as progress:
        found = [check_integrity(run, progress) for run in runs_in(directory)]
    if json:
        print_json([integrity.as_dict() for integrity in found])
    for integrity in [] if json else found:
        _show(integrity)
    if not all(integrity.is_sound for integrity in found):
        raise typer.Exit(1)


def _show(integrity: Integrity) -> None:
    word = "sound" if integrity.is_sound else "NOT SOUND"
    typer.echo(
        f"{integrity.path}: {word}: {integrity.evaluations} evaluations, {integrity.posteriors} posteriors, "
        f"{integrity.trained} trained models and {integrity.checkpoints} checkpoints read"
    )
    for flaw in integrity.flaws:
        typer.echo(f"  {flaw.severity}: {flaw.where}: {flaw.message}")
