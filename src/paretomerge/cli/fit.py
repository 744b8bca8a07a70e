"""`paretomerge fit`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretomerge.cli.options import JsonOption, parse_numbers, print_json
from paretomerge.cli.posteriors import bytes_in_words, show_posteriors
from paretomerge.cli.progress import shown_progress
from paretomerge.cli.workers import ExecutorOption, GpusOption, RayAddressOption, WorkersOption, parse_executor
from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.curvature import FitCost
    from paretomerge.distributed import Executor

EXAMPLE = "paretomerge fit recipe.yaml"


def command(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE-or-RUN]", help="A recipe file, or the folder of a run.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", help="The run folder, by default RECIPE-run; with --checkpoint the file to write."),
    ] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say what it will cost: passes, time and memory.")
    ] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", metavar="DIR", help="Instead of a recipe: a finetune trained by Adam."),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option("--optimizer", metavar="FILE", help="Its optimizer.pt; by default the one in DIR.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", metavar="DIR", help="The pretrained checkpoint.")] = None,
    batch_size: Annotated[
        float | None,
        typer.Option("--batch-size", help="Labels of one training step: per device × devices × accumulated batches."),
    ] = None,
    unclipped: Annotated[
        bool, typer.Option("--unclipped", help="Gradients were not clipped, so that the scale is known.")
    ] = False,
    at_joint: Annotated[
        str | None,
        typer.Option("--at-joint", metavar="DIR", help="Around a joint finetune instead: a recipe that continues it."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Of the joint finetune, where its folder does not say: a=0.5,b=0.5.")
    ] = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    ray_address: RayAddressOption = None,
    gpus_per_worker: GpusOption = None,
    json: JsonOption = False,
) -> None:
    """Fit a posterior to every finetune, and choose the damping on validation data.

    An interrupted fit goes on where it stopped. Without a recipe: the posterior of one finetune from its optimizer.pt.
    """
    alone = {"--optimizer": optimizer, "--base": base, "--batch-size": batch_size, "--unclipped": unclipped or None}
    if checkpoint is not None:
        if recipe is not None or estimate:
            raise InputError("--checkpoint fits one finetune without a recipe: leave out RECIPE and --estimate")
        if base is None or out is None or batch_size is None:
            raise InputError("give --checkpoint DIR with --base DIR, --batch-size N and --out FILE.safetensors")
        _fit_one(out, base, checkpoint, optimizer, batch_size, not unclipped, json)
        return
    given = [option for option, value in alone.items() if value is not None]
    if given or recipe is None:
        raise InputError(f"{given[0]} goes with --checkpoint" if given else "give a recipe, or --checkpoint DIR")
    if at_joint is not None:
        if out is None or estimate:
            raise InputError("--at-joint needs --out FOLDER, and cannot be estimated")
        _continue(recipe, at_joint, out, weights, json)
        return
    if weights is not None:
        raise InputError("--weights are those of a joint finetune: they go with --at-joint")
    _fit_recipe(recipe, out, estimate, json, parse_executor(executor, workers, ray_address, gpus_per_worker))


def _continue(recipe: str, joint: str, out: str, weights: str | None, json: bool) -> None:
    from paretomerge.stages import continue_run, open_study

    beta = None if weights is None else parse_numbers(weights, "--weights")
    found = continue_run(open_study(recipe), joint, out, beta)
    if json:
        print_json(found.as_dict())
        return
    shown = ", ".join(f"{task} {weight:.3g}" for task, weight in found.weights.items())
    typer.echo(f"posteriors of {', '.join(found.files)} around {joint} ({shown}) in {found.folder}")
    typer.echo(
        f"merges are previews for weightings that give every task some weight\nnext: paretomerge front {found.recipe}"
    )


def _fit_recipe(recipe: str, out: str | None, only_estimate: bool, json: bool, executor: Executor | None) -> None:
    from paretomerge.stages import estimate_fit, fit_run, open_study

    study = open_study(recipe, out)
    cost = estimate_fit(study)
    stated = {"estimate": None if cost is None else asdict(cost)}
    if only_estimate:
        if json:
            print_json(stated)
        else:
            typer.echo("there is nothing to measure" if cost is None else _stated(cost))
        return
    if cost is not None and not json:
        typer.echo(_stated(cost), err=True)
    with shown_progress(quiet=json) as progress:
        fitted = fit_run(study, progress, executor)
    if json:
        content: dict[str, Any] = {
            "run": str(study.folder.path),
            "family": fitted.method.fit.family,
            "damping": fitted.damping,
            "tasks": list(study.tasks),
            "examples": {task: loss.examples for task, loss in fitted.curvatures.losses.items()},
        }
        print_json(content | stated)
        return
    typer.echo(f"{fitted.method.fit.family} posteriors of {', '.join(study.tasks)}, damping {fitted.damping:g}")
    typer.echo(f"run folder: {study.folder.path}\nnext: paretomerge front {study.folder.path}")


def _fit_one(
    out: str, base: str, checkpoint: str, optimizer: str | None, batch_size: float, clipped: bool, json: bool
) -> None:
    from paretomerge.stages import fit_optimizer

    found = fit_optimizer(out, base, checkpoint, optimizer, batch_size=batch_size, clipped=clipped)
    if json:
        print_json(found.as_dict())
        return
    show_posteriors([found])
    typer.echo(f"{found.path}: next: paretomerge merge OUT --base {base} --task NAME={found.path} …")


def _stated(cost: FitCost) -> str:
    memory = bytes_in_words(cost.memory)
    seconds = cost.seconds
    duration = (
        f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s" if seconds >= 1 else "a second or less"
    )
    return (
        f"{cost.gradient_passes:,} gradient passes, about {duration}; the tasks have "
        f"{sum(cost.examples.values()):,} examples\n"
        f"models and posteriors: {memory} of memory, and the activations of one batch"
    )
