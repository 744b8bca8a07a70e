"""Files of posteriors as the input of a merge: opened, and held against the base and against each other.

What one file says of itself can only be believed; what several say must agree. Everything here reads headers, except
for the digest of the base: one pass over the base model, which a merge of posteriors else would hardly read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from paretomerge.checkpoints import Checkpoint, Finding, load_curvature, read_provenance
from paretomerge.errors import AlignmentError, PosteriorError
from paretomerge.posteriors import UNITS, Curvature, Expanded, Posterior, Provenance, damp
from paretomerge.types import spec_of

SHOWN = 12  # letters of a digest


@dataclass(frozen=True)
class PosteriorFile:
    """One opened file."""

    task: str
    path: Path
    posterior: Curvature
    provenance: Provenance | None


def open_posteriors(files: Mapping[str, str | os.PathLike[str]]) -> tuple[PosteriorFile, ...]:
    """Open the files of several tasks; values are read when they are used.

    Raises:
        CheckpointError, PosteriorError, StorageError: as `load_curvature`.
    """
    return tuple(
        PosteriorFile(task, Path(path), load_curvature(path), read_provenance(path)) for task, path in files.items()
    )


def require_posteriors(files: tuple[PosteriorFile, ...], damping: float | None = None) -> dict[str, Posterior]:
    """Task → posterior, damped if that is wanted; an expansion is none before it is damped.

    Raises:
        PosteriorError: an expansion without damping, damping of precisions that have it already, or families that
            differ.
    """
    if damping is not None and files:
        return _damped(files, damping)
    found: dict[str, Posterior] = {}
    for file in files:
        if isinstance(file.posterior, Expanded):
            raise PosteriorError(
                f"{file.path}: holds a loss expanded where merges land, which is a posterior only with damping: give "
                "one (--damping 0.1), or name the files of all tasks as posterior.files in a recipe, which chooses it"
            )
        found[file.task] = file.posterior
    return found


def _damped(files: tuple[PosteriorFile, ...], damping: float) -> dict[str, Posterior]:
    for file in files:
        if file.provenance is not None and file.provenance.damping:
            raise PosteriorError(
                f"{file.path}: holds a precision that was damped by {file.provenance.damping:g} already: leave the "
                "damping out, or give the file of the bare curvature"
            )
        _require_same_shapes(files[0], file)
    return damp({file.task: file.posterior for file in files}, damping)


def require_agreement(
    files: tuple[PosteriorFile, ...], base: Checkpoint, digest_base: bool = True, way_out: str = ""
) -> tuple[Finding, ...]:
    """Check that posteriors were fitted on this base and can be added up; returns what is worth a look.

    Args:
        files: from `open_posteriors`.
        base: the base model.
        digest_base: whether the base's digest is compared with the one each file names: reads all of the base once.
        way_out: what the message about another base ends with: how to merge nevertheless.

    Raises:
        AlignmentError: another base, or tensors that the base lacks or has in another shape.
        PosteriorError: other families, names, shapes or units than the first file has.
    """
    for file in files:
        _require_fits_base(file, base)
        _require_same_shapes(files[0], file)
    told = [file for file in files if file.provenance is not None]
    for file in told:
        _require_same_base(told[0], file)
        _require_same_units(told[0], file)
    if digest_base:
        _require_base(told, base, way_out)
    return (*_unknown(files), *_differing(told))


def _require_fits_base(file: PosteriorFile, base: Checkpoint) -> None:
    for name, spec in file.posterior.specs.items():
        if name not in base:
            raise AlignmentError(
                f"{file.path}: the posterior of {file.task!r} covers {name!r}, which the base {_named(base)!r} does "
                "not have: it was fitted on another model, or over an adapter's matrices (merge those in Python: "
                "docs/trainer.md, Adapters)"
            )
        if tuple(spec_of(base, name).shape) != tuple(spec.shape):
            raise AlignmentError(
                f"{file.path}: {name!r} has shape {list(spec.shape)} in the posterior of {file.task!r} and "
                f"{list(spec_of(base, name).shape)} in the base {_named(base)!r}: another model, or another vocabulary"
            )


def _require_same_shapes(first: PosteriorFile, other: PosteriorFile) -> None:
    families = first.posterior.family, other.posterior.family
    if families[0] != families[1] and "mixture" not in families:
        raise PosteriorError(
            f"{first.path} holds a posterior of the family {families[0]}, {other.path} one of {families[1]}: "
            "they cannot be merged. Fit all tasks with the same method"
        )
    one, two = ({name: tuple(spec.shape) for name, spec in file.posterior.specs.items()} for file in (first, other))
    differing = sorted(set(one.items()) ^ set(two.items()))
    if differing:
        raise PosteriorError(
            f"{first.path} and {other.path} are over different parameters, the first is {differing[0][0]!r}: fit both "
            "on the same model and the same parameters"
        )


def _require_same_base(first: PosteriorFile, other: PosteriorFile) -> None:
    assert first.provenance is not None
    assert other.provenance is not None
    digests = first.provenance.base, other.provenance.base
    if all(digests) and digests[0] != digests[1]:
        raise AlignmentError(
            f"{first.path} was fitted on the base {_expected(first.provenance)}, {other.path} on "
            f"{_expected(other.provenance)}: finetunes of different bases cannot be merged"
        )


def _require_same_units(first: PosteriorFile, other: PosteriorFile) -> None:
    assert first.provenance is not None
    assert other.provenance is not None
    units = first.provenance.units, other.provenance.units
    if units[0] != units[1]:
        raise PosteriorError(
            f"{first.path} holds {UNITS[units[0]]}, {other.path} {UNITS[units[1]]}: their precisions cannot be added. "
            "Fit both by one route"
        )


def _require_base(told: list[PosteriorFile], base: Checkpoint, way_out: str) -> None:
    named = [file for file in told if file.provenance is not None and file.provenance.base]
    if not named:
        return
    first = named[0]  # all name the same base
    assert first.provenance is not None
    if first.provenance.base != base.digest:
        raise AlignmentError(
            f"{first.path}: the posterior of {first.task!r} was fitted on the base {_expected(first.provenance)}, and "
            f"{_named(base)} has the digest {base.digest[:SHOWN]}…: give the base it was fitted on{way_out}"
        )


def _unknown(files: tuple[PosteriorFile, ...]) -> list[Finding]:
    silent = [file for file in files if file.provenance is None or not file.provenance.base]
    if not silent:
        return []
    more = f" and {len(silent) - 1} more" if len(silent) > 1 else ""
    return [
        _warning(
            f"{silent[0].path}{more}: the base it was fitted on is not named there, so nothing was compared; "
            "PosteriorCallback(..., base=DIR) names it"
        )
    ]


def _differing(told: list[PosteriorFile]) -> list[Finding]:
    """Provenances that can be merged, but were perhaps not meant to be."""
    origins = [file.provenance for file in told if file.provenance is not None]
    routes = sorted({origin.route for origin in origins})
    places = sorted({origin.location for origin in origins})
    found = []
    if len(routes) > 1:
        found.append(f"measured by different routes ({', '.join(routes)}): one task may outweigh the others")
    if len(places) > 1:
        found.append(f"taken at different places ({', '.join(map(repr, places))})")
    if len({origin.damping == 0 for origin in origins}) > 1:
        found.append("in some files damped and in others not: the damped tasks weigh more")
    if len(origins) > 1 and origins[0].units == "relative":
        found.append(f"{UNITS['relative']}: how much one task weighs against another is not known")
    return [_warning(f"the precisions are {what}") for what in found]


def _warning(message: str) -> Finding:
    return Finding("warning", "provenance", None, None, message)


def _expected(provenance: Provenance) -> str:
    digest = f"{provenance.base[:SHOWN]}…" if provenance.base else "that it does not name"
    return f"{provenance.base_name!r} ({digest})" if provenance.base_name else digest


def _named(base: Checkpoint) -> str:
    return base.address or str(base.source or "in memory")
