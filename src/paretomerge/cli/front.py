"""`paretomerge front`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.diagnosed import warn_of
from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.cli.workers import ExecutorOption, GpusOption, RayAddressOption, WorkersOption, parse_executor

EXAMPLE = "paretomerge front recipe.yaml --evaluations 30"
BudgetOption = Annotated[
    int | None,
    typer.Option(
        "--evaluations",
        min=0,
        help="Merged models to measure in all, instead of the recipe's number; what is stored counts, and is not "
        "measured again.",
    ),
]


def command(
    recipe: RecipeOrRun,
    evaluations: BudgetOption = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    gpus_per_worker: GpusOption = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Evaluate a few merged models and estimate the front, with intervals."""
    who = parse_executor(executor, workers, ray_address, gpus_per_worker)
    from paretomerge.stages import estimate_run_front, open_study

    study = open_study(recipe, out)
    with shown_progress(quiet=json) as progress:
        estimated = estimate_run_front(study, progress, evaluations, who)
    if json:
        print_json({"run": str(study.folder.path), **estimated.as_dict()})
        return
    from rich.console import Console

    from paretomerge.cli.tables import front_table

    console = Console()
    console.print(front_table(estimated.front, estimated.uncertainty))
    for warning in estimated.warnings:
        typer.echo(f"warning: {warning}", err=True)
    warn_of(estimated.diagnoses)
    for sentence in estimated.summary:
        console.print(sentence, highlight=False)
    typer.echo(f"run folder: {study.folder.path}\nnext: paretomerge choose {study.folder.path} --knee")
