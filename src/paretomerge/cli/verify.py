"""`paretomerge verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge verify run/ --points 3"


def command(
    recipe: RecipeOrRun,
    points: Annotated[int, typer.Option("--points", help="How many weightings to train for real.")] = 3,
    out: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Finetune jointly at a few weightings and hold the previews against the truth, on test data."""
    from paretomerge.stages import open_study, verify_run

    study = open_study(recipe, out)
    with shown_progress(quiet=json) as progress:
        verification = verify_run(study, points, progress)
    if json:
        print_json(verification.as_dict())
        return
    from rich.console import Console

    from paretomerge.reports import compact_table

    found = list(verification.quality.values())
    worst = [max(q.preview_error_by_objective.items(), key=lambda pair: pair[1]) for q in found]
    ranks = [q.as_dict()["rank_correlation"] for q in found]
    columns = [
        ("metric", list(verification.quality)),
        ("preview error", [f"{q.preview_error:.4f}" for q in found]),
        ("bias", [f"{q.bias:+.4f}" for q in found]),
        ("rank correlation", ["" if rank is None else f"{rank:.3f}" for rank in ranks]),
        ("largest error", [f"{error:.4f}" for _, error in worst]),
        ("on", [name for name, _ in worst]),
    ]
    count = len(verification.truths)
    plural = "" if count == 1 else "s"
    Console().print(compact_table(columns, f"previews against {count} joint finetuning{plural}, on test data", left=1))
    typer.echo(f"next: paretomerge report {study.folder.path}")
