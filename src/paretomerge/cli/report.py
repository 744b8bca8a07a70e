"""`paretomerge report`."""

from __future__ import annotations

import typer

from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge report run/"


def command(recipe: RecipeOrRun, out: OutOption = None, json: JsonOption = False) -> None:
    """Write the front as a picture and a self-contained page."""
    from paretomerge.stages import open_study, report_run

    study = open_study(recipe, out)
    with shown_progress(quiet=json) as progress:
        paths = report_run(study, progress)
    if json:
        print_json({"figure": str(paths.figure) if paths.figure else None, "page": str(paths.page)})
    else:
        typer.echo(f"open {paths.page}")
