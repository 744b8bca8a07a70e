"""`paretomerge report`."""

from __future__ import annotations

from typing import Annotated

import typer

from paretomerge.cli.options import JsonOption, OutOption, RecipeOrRun, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.errors import InputError

EXAMPLE = "paretomerge report run/"


def command(
    recipe: RecipeOrRun,
    out: OutOption = None,
    figure: Annotated[
        str | None,
        typer.Option("--figure", metavar="FILE", help="Only draw a figure for a paper: .svg, .pdf or .png."),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option("--width", metavar="INCHES", help="With --figure: 3.3 is one column, 6.75 (the default) two."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", metavar="scatter|maps|parallel", help="With --figure: by default what suits the front."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="METRIC", help="With --figure: of these objectives, such as accuracy."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the front as a picture and a self-contained page."""
    from paretomerge.stages import open_study, report_run

    wishes = {"--width": width, "--kind": kind, "--metric": metric}
    unused = [name for name, value in wishes.items() if value is not None]
    if figure is None and unused:
        raise InputError(f"{unused[0]} says how a figure is drawn: add --figure FILE")
    study = open_study(recipe, out)
    if figure is not None:
        from paretomerge.stages import draw_figure

        sized = {} if width is None else {"width": width}
        with shown_progress(quiet=json) as progress:
            path = draw_figure(study, figure, metric=metric, kind=kind, progress=progress, **sized)  # type: ignore[arg-type]
        print_json({"figure": str(path), "page": None}) if json else typer.echo(f"open {path}")
        return
    with shown_progress(quiet=json) as progress:
        paths = report_run(study, progress)
    if json:
        print_json({"figure": str(paths.figure) if paths.figure else None, "page": str(paths.page)})
    else:
        typer.echo(f"open {paths.page}")
