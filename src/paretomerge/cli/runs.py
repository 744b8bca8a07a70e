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

    from paretomerge.reports import methods_table

    Console().print(
        methods_table([{**asdict(summary), "stages": ", ".join(summary.stages)} for summary in found], "runs")
    )
