"""`paretomerge ledger`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, RunFolderArgument, print_json

EXAMPLE = "paretomerge ledger run/"


def command(
    run: RunFolderArgument,
    divisions: Annotated[
        int, typer.Option("--divisions", help="Resolution of the joint grid: task weights in steps of one in so many.")
    ] = 10,
    json: JsonOption = False,
) -> None:
    """What a run has cost, the single-task trainings included, beside the joint grid that its front replaces."""
    from paretomerge.stages import open_study, run_ledger

    ledger = run_ledger(open_study(run), divisions)
    if json:
        print_json(ledger.as_dict())
        return
    from rich.console import Console

    from paretomerge.reports import compact_table
    from paretomerge.reports.columns import ledger_columns

    columns = [(column.name, column.cells) for column in ledger_columns(ledger.rows())]
    console = Console(highlight=False, markup=False)
    console.print(compact_table(columns, "costs", left=1))
    console.print(ledger.summary)
    for sentence in ledger.assumptions:
        console.print(f"- {sentence}")
    typer.echo(f"next: paretomerge report {run}")
