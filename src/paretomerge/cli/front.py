"""`paretomerge front`."""

from __future__ import annotations

import typer

from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge front recipe.yaml"


def command(recipe: RecipeOrRun, out: OutOption = None, json: JsonOption = False) -> None:
    """Evaluate a few merged models and estimate the front."""
    from paretomerge.stages import estimate_run_front, open_study

    study = open_study(recipe, out)
    with shown_progress(quiet=json) as progress:
        estimated = estimate_run_front(study, progress)
    warnings = estimated.surrogate.warnings
    if json:
        print_json(
            {
                "run": str(study.folder.path),
                "front": estimated.front.as_dict(),
                "scores": estimated.scores.as_dict(),
                "warnings": list(warnings),
            }
        )
        return
    from rich.console import Console

    from paretomerge.cli.tables import front_table

    Console().print(front_table(estimated.front))
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{len(estimated.scores)} merged models evaluated; run folder: {study.folder.path}")
    typer.echo(f"next: paretomerge choose {study.folder.path} --knee")
