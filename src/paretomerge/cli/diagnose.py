"""`paretomerge diagnose`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge diagnose run/"


def command(
    recipe: RecipeOrRun,
    free: Annotated[
        bool,
        typer.Option("--free", help="Measure nothing beyond the front: no barriers, and transfer only as predicted."),
    ] = False,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Look for signs that previews will fail, and say what to try."""
    from paretomerge.stages import diagnose_run, open_study

    study = open_study(recipe, out)
    with shown_progress(quiet=json) as progress:
        found = diagnose_run(study, barriers=not free, progress=progress)
    if json:
        print_json({"run": str(study.folder.path), "diagnoses": [each.as_dict() for each in found]})
        return
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False, markup=False)
    for each in found:
        console.print(f"{each.severity}: {each.message}")
        console.print(Padding(f"try: {each.remedy}", (0, 0, 0, 2)))
    warnings = sum(each.severity == "warning" for each in found)
    notes = len(found) - warnings
    typer.echo(f"{_count(warnings, 'warning')}, {_count(notes, 'note')}; a preview without any can still be wrong")
    typer.echo(f"next: paretomerge verify {study.folder.path} --points 1")


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
