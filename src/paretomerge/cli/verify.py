"""`paretomerge verify`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.cli.diagnosed import warn_of_run
from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, parse_numbers, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.cli.workers import ExecutorOption, GpusOption, RayAddressOption, WorkersOption, parse_executor
from paretomerge.errors import InputError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from paretomerge.stages import Verification

EXAMPLE = "paretomerge verify run/ --points 3"
_DEFAULT = 3


def command(
    recipe: RecipeOrRun,
    points: Annotated[
        int | None,
        typer.Option(
            "--points",
            min=0,
            help=f"How many weightings to train for real, those of earlier calls included; {_DEFAULT}, or none where "
            "--trained is given.",
        ),
    ] = None,
    trained: Annotated[
        list[str] | None,
        typer.Option(
            "--trained",
            metavar="a=0.5,b=0.5:DIR",
            help="A checkpoint that you have finetuned jointly with these weights. Repeatable.",
        ),
    ] = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    gpus_per_worker: GpusOption = None,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Finetune jointly at a few weightings, hold the previews against the truth on test data, recalibrate the front."""
    who = parse_executor(executor, workers, ray_address, gpus_per_worker)
    from paretomerge.stages import open_study, verify_run

    study = open_study(recipe, out)
    given = dict(_parse_trained(text, study.tasks) for text in trained or ())
    if len(given) < len(trained or ()):
        raise InputError("--trained: two checkpoints for the same weights: give one")
    count = points if points is not None else 0 if given else _DEFAULT
    warn_of_run(study)
    with shown_progress(quiet=json) as progress:
        verification = verify_run(study, count, progress, trained=given, executor=who)
    if json:
        print_json({"run": str(study.folder.path), **verification.as_dict()})
        return
    from rich.console import Console

    console = Console()
    console.print(_table(verification))
    for sentence in verification.sentences:
        console.print(sentence, highlight=False, markup=False)
    typer.echo(f"next: paretomerge choose {study.folder.path} --joint --knee")


def _parse_trained(text: str, tasks: Sequence[str]) -> tuple[tuple[float, ...], str]:
    """`"a=0.5,b=0.5:DIR"` as weights in the order of the tasks and a path; tasks that are not named have no weight.

    Raises:
        InputError: no path, no weights, or an unknown task.
    """
    weights, sign, path = text.partition(":")
    if not (sign and weights and path):
        raise InputError(f"--trained {text!r}: write it as a=0.5,b=0.5:DIR")
    numbers = parse_numbers(weights, "--trained")
    for name in numbers:
        if name not in tasks:
            raise InputError(
                f"--trained {text!r}: unknown task {name!r}{nearest(name, tasks)}: one of {', '.join(tasks)}"
            )
    return tuple(numbers.get(task, 0.0) for task in tasks), path


def _table(verification: Verification) -> Table:
    """One row per verified weighting and objective of the front: preview, interval, truth, error."""
    from paretomerge.reports import compact_table

    truths, before = verification.truths, verification.coverage()
    names = [objective.name for objective in truths.objectives]
    columns = [names.index(objective.name) for objective in verification.before.objectives]
    pairs = [(row, column) for row in range(len(truths)) for column in columns]
    inside = before["before"]["inside"]
    weights = ["/".join(f"{weight:.2f}" for weight in truths.weights[row]) for row, _ in pairs]
    errors = [verification.previews.values[pair] - truths.values[pair] for pair in pairs]
    shown = [
        ("weights", [text if column == columns[0] else "" for text, (_, column) in zip(weights, pairs, strict=True)]),
        ("objective", [names[column] for _, column in pairs]),
        ("preview", [f"{verification.previews.values[pair]:.4g}" for pair in pairs]),
        ("trained", [f"{truths.values[pair]:.4g}" for pair in pairs]),
        ("error", [f"{error:+.2g}" for error in errors]),
        ("inside\ninterval", ["yes" if inside[row][column] else "no" for row, column in pairs]),
        ("recalibrated\nby the others", [f"{verification.left_out.mean[pair]:.4g}" for pair in pairs]),
    ]
    tasks = "/".join(truths.tasks)
    plural = "" if len(truths) == 1 else "s"
    title = f"previews against {len(truths)} joint finetuning{plural} on test data, weights of {tasks}"
    return compact_table(shown, title, left=2)
