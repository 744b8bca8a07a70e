"""`paretomerge choose`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, RunFolderArgument, parse_numbers, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.errors import InputError

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
    json: JsonOption = False,
) -> None:
    """Choose one point of the front; tasks may be named instead of their objectives."""
    from paretomerge.choices import ByWeights, ChoiceRule, Knee, ReferencePoint, Thresholds
    from paretomerge.stages import choose_point, front_of, open_study
    from paretomerge.stages.choose import resolve_names

    if best is not None and at_least is None:
        raise InputError("--best goes with --at-least: say what the others must reach, --at-least a=0.9 --best b")
    given = [weights is not None, at_least is not None, reference is not None, knee]
    if sum(given) != 1:
        raise InputError("say how to choose: exactly one of --weights, --at-least, --reference, --knee")
    study = open_study(run)
    with shown_progress(quiet=json) as progress:
        front = front_of(study, progress)
        rule: ChoiceRule = Knee()
        if weights is not None:
            rule = ByWeights(parse_numbers(weights, "--weights"))
        elif at_least is not None:
            wished = resolve_names(front, parse_numbers(at_least, "--at-least"))
            rule = Thresholds(wished, next(iter(resolve_names(front, {best: 0.0}))) if best is not None else None)
        elif reference is not None:
            rule = ReferencePoint(resolve_names(front, parse_numbers(reference, "--reference")))
        choice = choose_point(study, rule, progress)
    if json:
        print_json(asdict(choice))
        return
    from rich.console import Console

    from paretomerge.cli.tables import points_table

    typer.echo(f"point {choice.point.id}: {choice.rule}")
    Console().print(points_table([choice.point], "chosen"))
    for name, loss in choice.gives_up.items():
        typer.echo(f"gives up {loss:.4g} on {name}, compared with the best on the front")
    if choice.alternatives:
        Console().print(points_table(choice.alternatives, "nearest alternatives"))
    typer.echo(f"next: paretomerge export {run} --point chosen merged/")
