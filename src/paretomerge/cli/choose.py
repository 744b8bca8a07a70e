"""`paretomerge choose`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from paretomerge.cli.diagnosed import warn_of_run
from paretomerge.cli.options import JsonOption, RunFolderArgument, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.cli.wishes import Wish
from paretomerge.errors import InfeasibleError

EXAMPLE = "paretomerge choose run/ --at-least a=0.9 --best b"


def command(
    run: RunFolderArgument,
    weights: Annotated[str | None, typer.Option("--weights", metavar="a=0.6,b=0.4", help="Nearest these.")] = None,
    at_least: Annotated[
        str | None,
        typer.Option("--at-least", metavar="a=0.9", help="At least as good as these (a loss: at most)."),
    ] = None,
    best: Annotated[str | None, typer.Option("--best", metavar="b", help="With --at-least: then best on this.")] = None,
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="a=0.9,b=0.8", help="Nearest to these wished-for values.")
    ] = None,
    knee: Annotated[bool, typer.Option("--knee", help="Where giving up a little on one costs most on others.")] = False,
    improve: Annotated[
        str | None,
        typer.Option("--improve", metavar="a,b", help="From another point: improve these as much as possible."),
    ] = None,
    improve_to: Annotated[
        str | None, typer.Option("--improve-to", metavar="a=0.95", help="The same, as far as these values.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="b", help="With --improve: these must not get worse.")
    ] = None,
    relax: Annotated[
        str | None,
        typer.Option(
            "--relax", metavar="c=0.8", help="With --improve: these may get worse, down (a loss: up) to this."
        ),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="POINT", help="With --improve: the point to start from.")
    ] = "chosen",
    regret: Annotated[
        bool,
        typer.Option(
            "--regret",
            help="What will be regretted least when scores turn out differently; alone or with another rule.",
        ),
    ] = False,
    risk: Annotated[
        str, typer.Option("--risk", metavar="mean|0.9", help="With --regret: its mean, or a quantile.")
    ] = "mean",
    one_se: Annotated[
        bool,
        typer.Option(
            "--one-se", help="With another rule: the most even weights within one standard error of its best."
        ),
    ] = False,
    towards: Annotated[
        str | None, typer.Option("--towards", metavar="a=0.5,b=0.5", help="With --one-se: nearest these instead.")
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="On the front of joint finetuning, which verify recalibrates.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Choose one point of the front; tasks may be named instead of their objectives."""
    from paretomerge.stages import choose_point, front_of, open_study
    from paretomerge.stages.choose import FrontKind, chosen_id

    wish = Wish(
        weights, at_least, best, reference, knee, improve, improve_to, keep, relax, start, regret, risk, one_se, towards
    )
    of: FrontKind = "joint" if joint else "merged"
    study = open_study(run)
    try:
        with shown_progress(quiet=json) as progress:
            front = front_of(study, progress, of=of)
            choice = choose_point(study, wish.rule(front, chosen_id(study, of=of)), progress, of=of)
    except InfeasibleError as error:
        if json:
            print_json(_refusal(error))
        raise
    if json:
        print_json(asdict(choice))
        return
    from rich.console import Console

    from paretomerge.cli.tables import alternatives_table, choice_table, of_weights

    console = Console()
    console.print(f"point {choice.point.id}: {choice.rule}", highlight=False, markup=False)
    at = ", ".join(f"{name}={value:.4g}" for name, value in choice.point.weights.items())
    console.print(
        f"{'task weights' if of_weights(choice.point) else 'coefficients'} {at}", highlight=False, markup=False
    )
    console.print(choice_table(choice))
    if choice.probability_nondominated is not None:
        typer.echo(
            f"no other point of the front is better in everything: {100 * choice.probability_nondominated:.0f} %"
        )
    if choice.probability_fulfilled is not None:
        typer.echo(f"it keeps what was asked for: {100 * choice.probability_fulfilled:.0f} %")
    if choice.alternatives:
        console.print(alternatives_table(choice))
    warn_of_run(study)
    following = f"finetune {run} joint/ --point chosen" if joint else f"export {run} --point chosen merged/"
    typer.echo(f"next: paretomerge {following}")


def _refusal(error: InfeasibleError) -> dict[str, object]:
    def steps(relaxed: dict[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
        return {name: {"wished": wished, "reached": reached} for name, (wished, reached) in relaxed.items()}

    return {
        "error": str(error),
        "closest": None if error.closest is None else asdict(error.closest),
        "relax": steps(error.relax),
        "alone": steps(error.alone),
    }
