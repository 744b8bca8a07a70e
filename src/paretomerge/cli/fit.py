"""`paretomerge fit`."""

from __future__ import annotations

import typer

from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge fit recipe.yaml"


def command(recipe: RecipeOrRun, out: OutOption = None, json: JsonOption = False) -> None:
    """Fit a posterior to every finetune, and choose the damping on validation data."""
    from paretomerge.stages import fit_run, open_study

    study = open_study(recipe, out)
    with shown_progress(quiet=json) as progress:
        fitted = fit_run(study, progress)
    if json:
        print_json(
            {
                "run": str(study.folder.path),
                "family": fitted.method.fit.family,
                "damping": fitted.damping,
                "tasks": list(study.tasks),
                "examples": {task: loss.examples for task, loss in fitted.curvatures.losses.items()},
            }
        )
        return
    typer.echo(f"{fitted.method.fit.family} posteriors of {', '.join(study.tasks)}, damping {fitted.damping:g}")
    typer.echo(f"run folder: {study.folder.path}\nnext: paretomerge front {study.folder.path}")
