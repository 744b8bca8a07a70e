"""`paretomerge merge`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paretomerge.cli.options import (
    DistanceOption,
    JsonOption,
    PrivateOption,
    RenameOption,
    SkipOption,
    TokenizerOption,
    parse_bytes,
    parse_numbers,
    parse_repairs,
    parse_settings,
    parse_tasks,
    print_json,
)
from paretomerge.cli.progress import shown_progress
from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.stages import MergeSummary

EXAMPLE = "paretomerge merge merged/ --base base/ --task a=ft-a/ --task b=ft-b/ --weights a=0.6,b=0.4"


def command(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to write.")],
    base: Annotated[str | None, typer.Option("--base", metavar="DIR", help="The pretrained checkpoint.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="NAME=PATH",
            help="A finetuned checkpoint, an adapter, or a file of a posterior; repeat for each task.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="a=0.6,b=0.4",
            help="Task weights, or coefficients if the rule's. Repeat to write OUT/1, OUT/2, … in one sweep.",
        ),
    ] = None,
    weights_for: Annotated[
        list[str] | None,
        typer.Option(
            "--weights-for",
            metavar="PATTERN:a=1,b=0",
            help="Other weights for the tensors whose names match; the first that matches wins. Repeatable.",
        ),
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help="posterior (the default), averaging, weighted_sum, task_arithmetic, slerp, ties, dare, della, "
            "breadcrumbs, fisher, mixture.",
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the rule, such as density=0.3. Repeatable."),
    ] = None,
    mergekit: Annotated[
        str | None,
        typer.Option(
            "--mergekit", metavar="FILE", help="Run this mergekit configuration instead of the options above."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the random drops of a mergekit configuration; else --set seed=1.")
    ] = None,
    rename: RenameOption = None,
    skip: SkipOption = None,
    private: PrivateOption = None,
    tokenizer: TokenizerOption = None,
    dtype: Annotated[str | None, typer.Option("--dtype", help="float16, bfloat16, float32, float64.")] = None,
    accumulate: Annotated[
        str | None, typer.Option("--accumulate", help="Sums in float32 (default) or float64.")
    ] = None,
    check: Annotated[
        str, typer.Option("--check", help="What is compared first: sample (of the tensors), full, or names only.")
    ] = "sample",
    max_distance: DistanceOption = 1.0,
    max_shard_size: Annotated[str, typer.Option("--max-shard-size", help="Largest weight file, such as 5GB.")] = "5GB",
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")] = "cpu",
    damping: Annotated[
        float | None,
        typer.Option("--damping", help="Added to posteriors from files, relative to their mean precision: 0.1, say."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
    json: JsonOption = False,
) -> None:
    """Merge checkpoints at given weights into a new checkpoint, or at several weights into several."""
    from paretomerge.recipes import method
    from paretomerge.stages import MergeOptions, merge_checkpoints, merge_mergekit

    options = MergeOptions(
        dtype,
        accumulate,
        check,  # type: ignore[arg-type]
        max_distance,
        parse_bytes(max_shard_size, "--max-shard-size"),
        device,
        overwrite,
        damping,
    )
    repairs = parse_repairs(rename, skip, private, tokenizer)
    with shown_progress(quiet=json) as progress:

        def advance(done: int, total: int) -> None:
            progress(f"{done >> 20} of {total >> 20} MiB")

        if mergekit is not None:
            if base or task or weights or weights_for or rule or setting:
                raise InputError("--mergekit brings base, tasks, weights, rule and settings: leave those options out")
            summary = merge_mergekit(out, mergekit, options, repairs, seed=seed or 0, advance=advance)
        else:
            if base is None or not task or not weights:
                raise InputError("give --base DIR, --task NAME=PATH for each task, and --weights; or --mergekit FILE")
            if seed is not None:
                raise InputError("--seed goes with --mergekit; a rule that draws random numbers takes --set seed=1")
            many = [parse_numbers(text, "--weights") for text in weights]
            summary = merge_checkpoints(
                out,
                base,
                parse_tasks(task),
                many[0] if len(many) == 1 else many,
                method("rule", rule or "posterior", parse_settings(setting or [], "--set")),
                options,
                repairs,
                weights_for=_by_pattern(weights_for or []),
                advance=advance,
            )
    if json:
        print_json(asdict(summary))
    else:
        _show(summary)


def _by_pattern(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for text in texts:
        pattern, sign, numbers = text.rpartition(":")
        if not (sign and pattern):
            raise InputError(f"--weights-for {text!r}: write it as PATTERN:a=0.6,b=0.4")
        found[pattern] = parse_numbers(numbers, "--weights-for")
    return found


def _show(summary: MergeSummary) -> None:
    for warning in summary.warnings:
        typer.echo(warning, err=True)
    for what, count in summary.counts.items():
        typer.echo(f"{what}: {count:,}", err=True)
    for path, weights in zip(summary.paths, summary.weights, strict=True):
        shown = ", ".join(f"{task}={weight:.4g}" for task, weight in weights.items())
        typer.echo(f"{path}: {shown}")
    damping = "" if summary.damping is None else f", damping {summary.damping:g}"
    typer.echo(
        f"{summary.tensors} tensors, {summary.parameters:,} parameters, {_brief(summary.rule)}{damping}, "
        f"{summary.seconds:.1f} s"
    )


def _brief(rule: Any) -> str:
    return rule if len(rule) <= 100 else f"{rule[:97]}..."
