"""`paretomerge finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.cli.diagnosed import warn_of_run
from paretomerge.cli.options import JsonOption, RecipeOrRun, parse_numbers, parse_settings, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.stages import FinetuneSummary, Study

EXAMPLE = "paretomerge finetune run/ joint/ --point chosen --start merged"


def command(
    recipe: RecipeOrRun,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to write.")],
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="a=0.6,b=0.4", help="Weights of the tasks' losses.")
    ] = None,
    point: Annotated[
        str | None, typer.Option("--point", metavar="ID", help="Instead: those of a point, or `chosen`.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="NAME", help="Instead: this task alone.")] = None,
    start: Annotated[
        str, typer.Option("--start", metavar="base|merged", help="From the base, or from the merge at these weights.")
    ] = "base",
    steps: Annotated[int | None, typer.Option("--steps", help="Optimizer steps; by default the recipe's.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Its peak; by default the recipe's.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="By default the recipe's.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another training setting, such as lora.rank=8. Repeatable."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
    json: JsonOption = False,
) -> None:
    """Finetune all tasks jointly with chosen weights; an interrupted training continues.

    On several devices:  accelerate launch -m paretomerge finetune RUN OUT
    """
    if sum(given is not None for given in (weights, point, task)) > 1:
        raise InputError("say with which weights once: --weights, --point or --task")
    if start not in ("base", "merged"):
        raise InputError(f"--start is base or merged, got {start!r}")
    changes = parse_settings(settings or (), "--set")
    given = {"steps": steps, "learning_rate": learning_rate}
    for name, value in given.items():
        if value is not None and name in changes:
            raise InputError(f"{name} is given twice: by --{name.replace('_', '-')} and by --set")
        changes |= {} if value is None else {name: value}
    from paretomerge.stages import finetune_run, open_study
    from paretomerge.stages.joint.finetune import weights_of_task

    study = open_study(recipe, missing_finetunes=True)
    alpha = parse_numbers(weights, "--weights") if weights is not None else None
    if task is not None:
        alpha = weights_of_task(study, task)
    if start == "merged" or alpha is None:
        warn_of_run(study)
    with shown_progress(quiet=json) as progress:
        summary = finetune_run(
            study,
            out,
            alpha,
            point=point,
            start=start,  # type: ignore[arg-type]
            training=changes,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    if summary is None:
        return
    if json:
        print_json(summary.as_dict())
        return
    _show(summary, study)


def _show(summary: FinetuneSummary, study: Study) -> None:
    """What was trained, from where, and what it changed."""
    from rich.console import Console

    from paretomerge.reports import compact_table

    shown = ", ".join(f"{task}={weight:.4g}" for task, weight in summary.weights.items())
    origin = "the base" if summary.start == "base" else "the merge at these weights"
    taken = summary.stopped or f"{summary.training['steps']} steps"
    again = "; it had been trained before" if summary.reused else ""
    typer.echo(f"jointly finetuned with {shown} from {origin}, {taken}{again}")
    if summary.scales and any(scale != 1 for scale in summary.scales.values()):
        scales = ", ".join(f"{task} by {scale:.4g}" for task, scale in summary.scales.items())
        typer.echo(f"losses were divided by their values at the start: {scales}")
    if summary.after:
        split = list(summary.after)[-1]
        before, after = summary.before[split], summary.after[split]
        columns = [
            ("objective", [objective.name for objective in after.objectives]),
            ("before", [f"{value:.4g}" for value in before.values[0]]),
            ("after", [f"{value:.4g}" for value in after.values[0]]),
            ("± 95 %", [f"{1.96 * error:.2g}" for error in after.stderr[0]]),
        ]
        Console().print(compact_table(columns, f"on {split} data", left=1))
    typer.echo(f"written: {summary.folder}")
    if summary.adapter is not None:
        typer.echo(f"adapter: {summary.adapter}")
    typer.echo(f"next: paretomerge {_following(study)}")


def _following(study: Study) -> str:
    """What comes next: the other finetunes, the posteriors of all of them, or the verification of the front."""
    from paretomerge.stages.joint.trained import ADAPTER

    absent = [task for task in study.tasks if task not in study.finetunes]
    still = [task for task in absent if not Path(study.recipe.tasks[task].checkpoint).exists()]
    if still:
        where = Path(study.recipe.tasks[still[0]].checkpoint)
        # The recipe may name the adapter inside of what is written.
        where = where.parent if where.name == ADAPTER and study.recipe.training.lora is not None else where
        return f"finetune {study.folder.path} {where} --task {still[0]}"
    return f"{'fit' if absent else 'verify'} {study.folder.path}"
