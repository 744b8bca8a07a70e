"""`paretomerge demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge demo --out demo/ --seed 1"


def command(
    out: Annotated[str, typer.Option("--out", help="The run folder; an interrupted demo continues.")] = (
        "paretomerge-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Processes that finetune side by side.")] = 2,
    json: JsonOption = False,
) -> None:
    """Run the main job on real data: three conflicting digit tasks, previews, and the truth they are held against."""
    from paretomerge.demo import run_demo

    with shown_progress(quiet=json) as progress:
        result = run_demo(out, seed=seed, workers=workers, progress=progress)
    if json:
        print_json(result.as_dict())
    else:
        from paretomerge.demo.show import show_demo

        show_demo(result)
