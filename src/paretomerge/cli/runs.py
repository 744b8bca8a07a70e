"""`paretomerge runs`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, print_json

EXAMPLE = "paretomerge runs experiments/"


def command(
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="Where to look.")] = ".",
    json: JsonOption = False,
) -> None:
    """List the runs in a folder, and what each has cost."""
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
