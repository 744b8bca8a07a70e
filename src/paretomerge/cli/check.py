"""`paretomerge check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.cli.options import (
    JsonOption,
    MaybeDistanceOption,
    PrivateOption,
    RenameOption,
    SkipOption,
    TokenizerOption,
    parse_repairs,
    parse_tasks,
    print_json,
)
from paretomerge.cli.posteriors import bytes_in_words, show_posteriors
from paretomerge.cli.progress import shown_progress
from paretomerge.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from paretomerge.checkpoints import Alignment, Estimate, Repairs
    from paretomerge.stages.check import Preflight

EXAMPLE = "paretomerge check --base base/ --task a=ft-a/ --task b=ft-b/ --rename a=model.: --private 'classifier.*'"

WARNINGS_SHOWN = 20


def command(
    recipe: Annotated[
        str | None,
        typer.Argument(metavar="[RECIPE]", help="A recipe file or run folder; or the file of a posterior, to show it."),
    ] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="DIR", help="The pretrained checkpoint.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME=DIR",
            help="A finetuned checkpoint, or the file of a posterior (then for all tasks); repeat for each task.",
        ),
    ] = None,
    rename: RenameOption = None,
    skip: SkipOption = None,
    private: PrivateOption = None,
    tokenizer: TokenizerOption = None,
    max_distance: MaybeDistanceOption = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Of a recipe: run no model, so that neither finetunes nor cost are tried.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check everything that can be known beforehand: all that is wrong, at once, and what to type.

    Of checkpoints, that they fit each other. Of a recipe also methods, data and labels, evaluators, that the model
    runs, that every finetune is better than the base at its own task, and what the run will cost.
    """
    from paretomerge.checkpoints import holds_posterior
    from paretomerge.stages import check_models

    if recipe is not None and recipe.endswith(".safetensors"):
        _describe(recipe, base, task, json)
        return
    repairs = parse_repairs(rename, skip, private, tokenizer)
    if recipe is not None:
        if base is not None or task:
            raise InputError("give either a recipe, or --base and --task")
        if repairs.arguments:
            raise InputError(
                f"{repairs.arguments[0]} goes with --base and --task: a recipe takes checkpoints that fit. Write "
                "repaired ones with `paretomerge merge`, one task at a time at weight 1, and name them in the recipe"
            )
        _check_recipe(recipe, max_distance, quick, json)
        return
    if quick:
        raise InputError("--quick goes with a recipe: checkpoints alone are never run")
    if base is None or not task:
        raise InputError("give a recipe, or --base DIR and at least one --task NAME=DIR")
    given = parse_tasks(task)
    if all(holds_posterior(path) for path in given.values()):
        _check_posteriors(base, given, repairs, json)
        return
    found = check_models(base, given, repairs, max_distance=1.0 if max_distance is None else max_distance)
    if json:
        print_json(found.as_dict())
    else:
        _show(found)
    found.raise_if_bad()
    if not json:
        typer.echo("everything fits")


def _check_recipe(recipe: str, max_distance: float | None, quick: bool, json: bool) -> None:
    from paretomerge.stages import check_recipe

    with shown_progress(quiet=json) as progress:
        found = check_recipe(recipe, max_distance, quick=quick, progress=progress)
    if json:
        print_json(found.as_dict())
        found.raise_if_bad()
        return
    if found.preflight is not None:
        _show(found.preflight, warnings=False)
    for row in found.rows:
        if row.status == "ok":
            _say(f"ok       {row.what}: {row.message}")
    for row in found.rows:
        if row.status == "warning":
            typer.echo(f"warning: {row.what}: {row.message}", err=True)
    found.raise_if_bad()
    warned = sum(row.status == "warning" for row in found.rows)
    doubt = "" if not warned else f", with {warned} warning{'s' if warned > 1 else ''} to look at"
    typer.echo(f"everything fits{doubt}\nnext: paretomerge front {recipe}")


def _say(text: str) -> None:
    """A line of a table without frames, folded under its beginning."""
    import shutil
    import textwrap

    width = min(shutil.get_terminal_size().columns, 120)
    typer.echo(textwrap.fill(text, width, subsequent_indent=" " * 9, break_long_words=False, break_on_hyphens=False))


def _describe(path: str, base: str | None, task: list[str] | None, json: bool) -> None:
    from paretomerge.stages.merging.posterior_check import describe_posterior

    if base is not None or task:
        raise InputError(f"{path} is shown by itself: give it as --task NAME={path} to check it against a base")
    found = describe_posterior(path)
    if json:
        print_json(found.as_dict())
    else:
        show_posteriors([found])


def _check_posteriors(base: str, tasks: dict[str, str], repairs: Repairs, json: bool) -> None:
    from paretomerge.stages.merging.posterior_check import check_posteriors

    if repairs.arguments:
        raise InputError(
            f"{repairs.arguments[0]} goes with checkpoints: posterior files cannot be renamed or cut; repair the "
            "checkpoints and fit again"
        )
    found = check_posteriors(base, tasks)
    if json:
        print_json(found.as_dict())
        return
    show_posteriors(found.files)
    for finding in found.warnings:
        typer.echo(str(finding))
    typer.echo("everything fits")


def _show(found: Preflight, warnings: bool = True) -> None:
    from rich.console import Console

    console = Console()
    console.print(_models_table(found.alignment))
    if any(pair.cosine is not None for pair in found.alignment.cosines):
        console.print(_cosines_table(found.alignment))
    for row in found.alignment.tasks:
        if row.farthest:
            typer.echo(f"{row.task} went farthest in {row.farthest[0].tensor}, {row.farthest[0].relative_distance:.3g}")
    for task, own in found.repaired.private.items():
        typer.echo(f"{task} keeps {len(own)} tensors of its own: {_listed(list(own))}")
    if found.repaired.kept:
        typer.echo(f"not merged, the base's are kept: {_listed(sorted(found.repaired.kept))}")
    for finding in found.alignment.warnings[:WARNINGS_SHOWN] if warnings else ():
        typer.echo(str(finding))
    if warnings and len(found.alignment.warnings) > WARNINGS_SHOWN:
        typer.echo(f"and {len(found.alignment.warnings) - WARNINGS_SHOWN} more warnings; --json lists them all")
    for line in _estimate_lines(found.estimate):
        typer.echo(line)


def _models_table(alignment: Alignment) -> Table:
    from paretomerge.reports import compact_table

    rows = alignment.tasks
    return compact_table(
        [
            ("task", [row.task for row in rows]),
            ("tensors", [f"{row.tensors:,}" for row in rows]),
            ("parameters", [f"{row.parameters:,}" for row in rows]),
            ("relative distance", [_number(row.relative_distance) for row in rows]),
            ("cosine with base", [_number(row.cosine, ".4f") for row in rows]),
        ],
        "finetunes against the base",
        left=1,
    )


def _cosines_table(alignment: Alignment) -> Table:
    from paretomerge.reports import compact_table

    rows = alignment.cosines
    return compact_table(
        [
            ("task", [row.tasks[0] for row in rows]),
            ("and task", [row.tasks[1] for row in rows]),
            ("cosine", [_number(row.cosine, ".3f") for row in rows]),
        ],
        "task vectors",
        left=2,
    )


def _estimate_lines(estimate: Estimate) -> list[str]:
    """What a merge of these would take."""
    duration = f", about {_seconds(estimate.seconds)}" if estimate.seconds is not None else ""
    lines = [
        f"a merge reads {bytes_in_words(estimate.bytes_to_read)} and writes {bytes_in_words(estimate.bytes_to_write)} "
        f"({bytes_in_words(estimate.free_disk)} free here)",
        f"it takes at most {bytes_in_words(estimate.memory)} of memory{duration}",
    ]
    if not estimate.fits_on_disk:
        lines.append("warning: the merged model does not fit on the disk of this folder: write it elsewhere")
    return lines


def _number(value: float | None, form: str = ".3g") -> str:
    return "unknown" if value is None else format(value, form)


def _listed(names: Sequence[str], shown: int = 4) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _seconds(value: float) -> str:
    return f"{value / 60:.0f} min" if value >= 120 else f"{value:.1f} s" if value >= 1 else "a second or less"
