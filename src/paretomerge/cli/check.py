"""`paretomerge check`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, MaybeDistanceOption, parse_tasks, print_json
from paretomerge.errors import InputError

EXAMPLE = "paretomerge check --base base/ --task a=ft-a/ --task b=ft-b/"


def command(
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="A recipe file or run folder.")] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="DIR", help="The pretrained checkpoint.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME=DIR", help="A finetuned checkpoint; repeat for each task."),
    ] = None,
    max_distance: MaybeDistanceOption = None,
    json: JsonOption = False,
) -> None:
    """Check that base and finetunes fit each other: everything that is wrong, at once."""
    from paretomerge.stages import check_checkpoints
    from paretomerge.stages.check import check_recipe

    if recipe is not None:
        if base is not None or task:
            raise InputError("give either a recipe, or --base and --task")
        alignment = check_recipe(recipe, max_distance)
    elif base is None or not task:
        raise InputError("give a recipe, or --base DIR and at least one --task NAME=DIR")
    else:
        alignment = check_checkpoints(base, parse_tasks(task), 1.0 if max_distance is None else max_distance)
    if json:
        print_json(alignment.as_dict())
    else:
        for statistics in alignment.tasks:
            distance = statistics.relative_distance
            shown = "unknown" if distance is None else f"{distance:.3g}"
            typer.echo(
                f"{statistics.task}: {statistics.tensors} tensors, {statistics.parameters:,} parameters, "
                f"distance from the base {shown}"
            )
        for pair in alignment.cosines:
            if pair.cosine is not None:
                typer.echo(f"task vectors of {' and '.join(pair.tasks)}: cosine {pair.cosine:.3f}")
        for finding in alignment.warnings:
            typer.echo(f"warning: {finding}")
    alignment.raise_if_bad()
    if not json:
        typer.echo("everything fits")
