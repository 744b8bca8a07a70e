"""`paretomerge merge`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from paretomerge.cli.options import (
    BaseOption,
    DistanceOption,
    JsonOption,
    TaskOption,
    parse_numbers,
    parse_tasks,
    print_json,
)

EXAMPLE = "paretomerge merge merged/ --base base/ --task a=ft-a/ --task b=ft-b/ --weights a=0.6,b=0.4"


def command(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to write.")],
    base: BaseOption,
    task: TaskOption,
    weights: Annotated[
        str, typer.Option("--weights", metavar="a=0.6,b=0.4", help="Task weights, or coefficients if the rule's.")
    ],
    rule: Annotated[str, typer.Option("--rule", help="averaging, task_arithmetic, posterior, …")] = "posterior",
    dtype: Annotated[str | None, typer.Option("--dtype", help="float16, bfloat16, float32, float64.")] = None,
    max_distance: DistanceOption = 1.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
    json: JsonOption = False,
) -> None:
    """Merge checkpoints at given weights into a new checkpoint."""
    from paretomerge.recipes import method
    from paretomerge.stages import merge_checkpoints

    summary = merge_checkpoints(
        out,
        base,
        parse_tasks(task),
        parse_numbers(weights, "--weights"),
        method("rule", rule),
        dtype=dtype,
        max_distance=max_distance,
        overwrite=overwrite,
    )
    if json:
        print_json(asdict(summary))
    else:
        typer.echo(
            f"{summary.path}: {summary.tensors} tensors, {summary.parameters:,} parameters, {summary.rule}, "
            f"{summary.seconds:.1f} s"
        )
