"""`paretomerge init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.cli.options import JsonOption, parse_tasks, print_json
from paretomerge.cli.progress import shown_progress

if TYPE_CHECKING:
    from paretomerge.stages.init import Draft

EXAMPLE = "paretomerge init encoder/ runs/movie runs/tweets --data movie=data/movie --out recipe.yaml"


def command(
    base: Annotated[str, typer.Argument(metavar="BASE", help="The pretrained checkpoint; a bare encoder will do.")],
    finetunes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FINETUNE]...", help="Folders of finetunes, or a Trainer's outputs; they name the tasks."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME=DIR", help="A finetune under a name of your own; repeatable."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="NAME=PATH", help="The examples of a task, where they are not found; repeatable."
        ),
    ] = None,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The recipe to write.")] = "recipe.yaml",
    make_base: Annotated[
        str | None,
        typer.Option(
            "--make-base",
            metavar="DIR",
            help="Where a base with the finetunes' head is written, if BASE lacks it; by default beside the recipe.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a recipe that is there.")] = False,
    json: JsonOption = False,
) -> None:
    """Look at a base and its finetunes, and write a commented recipe that runs.

    Examples are looked for in data/ and datasets/ beside the models; columns and lengths are guessed from them.
    """
    from paretomerge.stages import draft_recipe, write_recipe

    target = Path(out)
    with shown_progress(quiet=json) as progress:
        progress("reading models and examples")
        draft = draft_recipe(
            base,
            finetunes or (),
            parse_tasks(task or ()),
            parse_tasks(data or (), "--data", "PATH"),
            folder=target.parent,
            make_base=make_base,
        )
        if draft.new_base is not None:
            progress(f"writing {draft.base_folder}")
        write_recipe(draft, target, overwrite)
    if json:
        print_json({"path": str(target), **draft.as_dict()})
        return
    _show(draft, target)


def _show(draft: Draft, target: Path) -> None:
    for guess in draft.guesses:
        typer.echo(f"{guess.what}: {guess.value}" + (f"  ({guess.why})" if guess.why else ""))
    for warning in draft.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"{target}: {len(draft.tasks)} tasks, {draft.lines} lines" + ("" if draft.is_complete else "; not complete yet")
    )
    typer.echo(f"next: {'' if draft.is_complete else 'complete it, then '}paretomerge check {target}")
