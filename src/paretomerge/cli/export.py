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
    if json:
        print_json({"path": str(folder), "weights": str(folder.with_name(folder.name + "-weights.yaml"))})
    else:
        typer.echo(f"{folder}: merged checkpoint with its model card")
        typer.echo(f"{folder.with_name(folder.name + '-weights.yaml')}: task weights for joint finetuning")
