"""`paretomerge export`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, RunFolderArgument, print_json
from paretomerge.cli.progress import shown_progress

EXAMPLE = "paretomerge export run/ --point chosen merged/"


def command(
    run: RunFolderArgument,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder (or file) to write.")],
    point: Annotated[str, typer.Option("--point", metavar="ID", help="A point's number, or `chosen`.")] = "chosen",
    mergekit: Annotated[
        bool, typer.Option("--mergekit", help="Write OUT as a mergekit configuration of the same merge instead.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
    json: JsonOption = False,
) -> None:
    """Write the merged checkpoint of a point, scored on test data."""
    from paretomerge.stages import export_mergekit, export_point, open_study

    study = open_study(run)
    with shown_progress(quiet=json) as progress:
        if mergekit:
            file = export_mergekit(study, point, out, overwrite=overwrite, progress=progress)
            print_json({"path": str(file)}) if json else typer.echo(f"{file}: a mergekit configuration")
            return
        folder = export_point(study, point, out, overwrite=overwrite, progress=progress)
    # Scaling coefficients are no task weights: a front over them has none to export.
    weights = folder.with_name(folder.name + "-weights.yaml") if study.recipe.front.domain == "weights" else None
    if json:
        print_json({"path": str(folder), "weights": None if weights is None else str(weights)})
        return
    typer.echo(f"{folder}: merged checkpoint with its model card")
    if weights is not None:
        typer.echo(f"{weights}: task weights for joint finetuning")
