"""`paretomerge export`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretomerge.cli.options import JsonOption, RunFolderArgument, parse_numbers, print_json
from paretomerge.cli.progress import shown_progress
from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.stages.choose import FrontKind

EXAMPLE = "paretomerge export run/ --point chosen merged/ --check"


def command(
    run: RunFolderArgument,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder (or file) to write.")],
    point: Annotated[
        str | None, typer.Option("--point", metavar="ID", help="A point's number, or `chosen`, which is the default.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="a=0.6,b=0.4", help="Instead of a point: any weighting, on the front or not."
        ),
    ] = None,
    joint: Annotated[
        bool, typer.Option("--joint", help="The number is one of the joint front, which `verify` stores.")
    ] = False,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Write a LoRA adapter on the base, where all finetunes are adapters.")
    ] = False,
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, help="With --adapter: its largest rank, whatever the error.")
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", help="With --adapter: the largest relative error of a layer; 0.001 by default."),
    ] = None,
    mergekit: Annotated[
        bool, typer.Option("--mergekit", help="Write OUT as a mergekit configuration of the same merge instead.")
    ] = False,
    weights_only: Annotated[
        bool,
        typer.Option("--weights-only", help="Write OUT, a .yaml or .json, with the task weights and code to train."),
    ] = False,
    dtype: Annotated[
        str | None, typer.Option("--dtype", help="float16, bfloat16, float32, float64; by default the base's.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Load what was written and score it again: it must be what was measured.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing export.")] = False,
    json: JsonOption = False,
) -> None:
    """Write a point of the front: its merged checkpoint, an adapter, a mergekit configuration, or its task weights."""
    from paretomerge.stages import export_mergekit, export_weights, open_study

    _require_together(adapter, mergekit, weights_only, rank, tolerance, dtype, check)
    which = _which(point, weights)
    study = open_study(run)
    of: FrontKind | None = "joint" if joint else None
    if mergekit or weights_only:
        with shown_progress(quiet=json) as progress:
            write, what = (
                (export_mergekit, "a mergekit configuration") if mergekit else (export_weights, "task weights")
            )
            file = write(study, which, out, overwrite=overwrite, progress=progress, of=of)
        print_json({"path": str(file)}) if json else typer.echo(f"{file}: {what}")
        return
    _export_folder(study, which, of, out, adapter, rank, tolerance, dtype, check, overwrite, json)


def _which(point: str | None, weights: str | None) -> str | dict[str, float]:
    """A point's name, or coordinates by name."""
    if weights is None:
        return "chosen" if point is None else point
    if point is not None:
        raise InputError("--point and --weights both say which model to export: give one of them")
    return parse_numbers(weights, "--weights")


def _require_together(
    adapter: bool,
    mergekit: bool,
    weights_only: bool,
    rank: int | None,
    tolerance: float | None,
    dtype: str | None,
    check: bool,
) -> None:
    if adapter + mergekit + weights_only > 1:
        raise InputError("--adapter, --mergekit and --weights-only are different exports: ask for one at a time")
    if not adapter and (rank is not None or tolerance is not None):
        raise InputError("--rank and --tolerance go with --adapter: a checkpoint holds the merge as it is")
    if rank is not None and tolerance is not None:
        raise InputError("--rank and --tolerance: give one of them; a rank says how large, a tolerance how exact")
    if (mergekit or weights_only) and (check or dtype is not None):
        raise InputError("--check and --dtype go with a checkpoint or an adapter, which hold weights")


def _export_folder(
    study: Any,
    point: str | Mapping[str, float],
    of: FrontKind | None,
    out: str,
    adapter: bool,
    rank: int | None,
    tolerance: float | None,
    dtype: str | None,
    check: bool,
    overwrite: bool,
    json: bool,
) -> None:
    from paretomerge.exports.adapter import TOLERANCE
    from paretomerge.stages import check_export, export_adapter, export_point
    from paretomerge.stages.exporting.weights import companion_of

    answer: dict[str, Any] = {}
    with shown_progress(quiet=json) as progress:
        if adapter:
            written = export_adapter(
                study,
                point,
                out,
                rank=rank,
                tolerance=TOLERANCE if tolerance is None else tolerance,
                dtype=dtype,
                overwrite=overwrite,
                progress=progress,
                of=of,
            )
            folder = written.folder
            exact = "exact" if written.is_exact else f"relative error {written.error:.2g}"
            what = f"LoRA adapter of rank {written.rank} on {len(written.ranks)} layers, {exact}"
            answer = {"rank": written.rank, "relative_error": written.error, "exact": written.is_exact}
        else:
            folder = export_point(study, point, out, overwrite=overwrite, progress=progress, dtype=dtype, of=of)
            what = "merged checkpoint with its model card"
        checked = check_export(study, folder, progress) if check else None
    # Scaling coefficients are no task weights: a front over them has none to export.
    weights = companion_of(folder) if study.recipe.front.domain == "weights" else None
    if json:
        given = {"path": str(folder), "weights": None if weights is None else str(weights), **answer}
        print_json(given | ({} if checked is None else {"check": checked.as_dict()}))
        return
    typer.echo(f"{folder}: {what}")
    if weights is not None:
        typer.echo(f"{weights}: task weights for joint finetuning")
    if checked is not None:
        name, difference = checked.largest
        same = f"the scores are the run's (largest difference {difference:.2g}, {name})"
        typer.echo(f"loaded again by {checked.loaded_by}: {same}")
    elif not adapter and all(finetune.is_adapter for finetune in study.finetunes.values()):
        typer.echo("the finetunes are adapters: --adapter writes the merge as one, too")
    if weights is not None and study.problem is not None:
        typer.echo(f"next: paretomerge verify {study.folder.path} --points 3")
