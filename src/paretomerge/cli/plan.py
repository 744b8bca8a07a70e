"""`paretomerge plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.cli.options import JsonOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress

if TYPE_CHECKING:
    from paretomerge.planning import Plan, StageCost

EXAMPLE = "paretomerge plan recipe.yaml --cluster 8xh100 --evaluations 60 --workers 8"


def command(
    recipe: RecipeOrRun,
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="NAME|FILE",
            help="Where it will run: here (this machine is measured, some seconds), an example such as 8xh100, or a "
            "YAML file that describes machines.",
        ),
    ] = "here",
    evaluations: Annotated[
        int | None,
        typer.Option("--evaluations", min=0, help="Merged models to measure, instead of the recipe's number."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that measure, instead of the recipe's number.")
    ] = None,
    points: Annotated[int, typer.Option("--points", min=0, help="Joint finetunings of verify.")] = 3,
    tokens: Annotated[
        float | None,
        typer.Option("--tokens", min=1, help="Tokens per example, where the examples cannot be seen from here."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Predict time, memory, disk and money of every stage, before anything is computed."""
    from paretomerge.stages import plan

    with shown_progress(quiet=json) as progress:
        found = plan(
            recipe,
            cluster,
            evaluations=evaluations,
            workers=workers,
            verified=points,
            tokens=tokens,
            progress=progress,
        )
    if json:
        print_json(found.as_dict())
        return
    _show(found)
    typer.echo(f"next: paretomerge check {recipe}")


def _show(found: Plan) -> None:
    from rich.console import Console

    from paretomerge.reports import compact_table

    rows = list(found.stages.values())
    model = f"{found.model['parameters']:,} parameters, {_bytes(found.model['bytes'])}"
    columns: list[tuple[str, list[str]]] = [
        ("stage", [row.stage for row in rows]),
        ("what", [_counted(row) for row in rows]),
        ("devices", [str(row.devices) for row in rows]),
        ("time", [_time(row.seconds) for row in rows]),
        ("memory", [_bytes(row.host_memory) for row in rows]),
        ("per device", [_bytes(row.device_memory) for row in rows]),
        ("disk", [_bytes(row.disk) for row in rows]),
        ("known", [row.known for row in rows]),
    ]
    if found.cluster.price:
        columns.insert(4, (found.cluster.currency, [_money(row.money) for row in rows]))
    console = Console(highlight=False, markup=False)
    console.print(
        compact_table(columns, f"{model}, on {found.cluster.machines} × {found.cluster.machine.name}", left=2)
    )
    money = f", {_money(found.money)} {found.cluster.currency}" if found.cluster.price else ""
    typer.echo(f"from finetunes to a model (fit, front, export): {_time(found.seconds)}{money}")
    for sentence in found.assumptions:
        console.print(f"- {sentence}")
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)


def _counted(row: StageCost) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in row.counts.items() if count)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    for unit, scale in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.2g} s"


def _money(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def _bytes(count: float) -> str:
    from paretomerge.planning.costs import in_words

    return in_words(count)
