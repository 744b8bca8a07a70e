"""How files of posteriors are shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from paretomerge.stages.merging.posterior_check import PosteriorSummary

SHOWN = 12  # letters of a digest


def show_posteriors(files: Sequence[PosteriorSummary]) -> None:
    """Two tables: what the files hold, and where it comes from."""
    from rich.console import Console

    from paretomerge.reports import compact_table

    labels = [printable(file.task or Path(file.path).stem) for file in files]
    ranges = [file.precision for file in files]
    console = Console()
    console.print(
        compact_table(
            [
                ("posterior", labels),
                ("family", [file.kind for file in files]),
                ("blocks", [f"{file.blocks:,}" for file in files]),
                ("parameters", [f"{file.parameters:,}" for file in files]),
                ("lowest precision", ["" if found is None else f"{found.lowest:.3g}" for found in ranges]),
                ("mean", ["" if found is None else f"{found.mean:.3g}" for found in ranges]),
                ("highest", ["" if found is None else f"{found.highest:.3g}" for found in ranges]),
                ("zeros", ["" if found is None else f"{found.zeros:,}" for found in ranges]),
                ("size", [bytes_in_words(file.nbytes) for file in files]),
            ],
            "posteriors",
            left=2,
        )
    )
    told = [(label, file.provenance) for label, file in zip(labels, files, strict=True) if file.provenance is not None]
    if told:
        console.print(
            compact_table(
                [
                    ("posterior", [label for label, _ in told]),
                    ("route", [printable(origin.route) for _, origin in told]),
                    ("location", [printable(origin.location) for _, origin in told]),
                    ("units", [origin.units for _, origin in told]),
                    ("examples", [f"{origin.examples:,}" if origin.examples else "unknown" for _, origin in told]),
                    ("damping", [_damping(origin.damping) for _, origin in told]),
                    ("base", [printable(origin.base[:SHOWN]) or "unknown" for _, origin in told]),
                ],
                "where the precisions come from",
                left=4,
            )
        )
    notes: dict[str, list[str]] = {}
    for label, origin in told:
        version = origin.version and f"paretomerge {origin.version}"
        note = "; ".join(printable(part) for part in (origin.scale, origin.settings, version) if part)
        notes.setdefault(note, []).append(label)
    for note, own in notes.items():  # what several files say alike is said once
        typer.echo(f"{', '.join(own)}: {note}")
    for label, file in zip(labels, files, strict=True):
        if file.provenance is None:
            typer.echo(f"{label} does not say where it comes from")


def printable(text: str) -> str:
    """Text of somebody else's file without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _damping(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}" if value else "none"


def bytes_in_words(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
