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

    from paretomerge.reports import methods_table

    rows = [
        {
            "metric": metric,
            "preview error": quality.preview_error,
            "bias": quality.bias,
            "hypervolume ratio": quality.hypervolume_ratio,
            "rank correlation": quality.as_dict()["rank_correlation"],
        }
        for metric, quality in verification.quality.items()
    ]
    count = len(verification.truths)
    plural = "" if count == 1 else "s"
    Console().print(methods_table(rows, f"previews against {count} joint finetuning{plural}, on test data"))
    typer.echo(f"next: paretomerge report {study.folder.path}")
