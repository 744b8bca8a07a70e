"""`check` of files of posteriors: what is in them, where it comes from, and whether they can be merged."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import Finding, Source, open_checkpoint
from paretomerge.errors import InputError
from paretomerge.posteriors import (
    Curvature,
    Dense,
    Diagonal,
    Expanded,
    Isotropic,
    Kronecker,
    LowRank,
    Mixture,
    Posterior,
    Product,
    Provenance,
    Subspace,
)
from paretomerge.stages.merging.posterior_inputs import (
    PosteriorFile,
    open_posteriors,
    require_agreement,
    require_posteriors,
)


@dataclass(frozen=True)
class PrecisionRange:
    """The diagonal of a precision in the coordinates of its family: lowest, mean and highest entry, and zeros."""

    lowest: float
    mean: float
    highest: float
    zeros: int
    entries: int


@dataclass(frozen=True)
class PosteriorSummary:
    """What one file holds.

    Args:
        task: the name it is merged under; empty for a file by itself.
        path: the file.
        family: of the posterior.
        blocks: how many independent blocks.
        tensors: how many tensors it covers.
        parameters: how many parameters.
        nbytes: of the file.
        precision: its range; `None` where values were not read.
        provenance: where the precision comes from; `None` where the file does not say.
        parts: families of the parts of a product, or of the components of a mixture.
    """

    task: str
    path: str
    family: str
    blocks: int
    tensors: int
    parameters: int
    nbytes: int
    precision: PrecisionRange | None
    provenance: Provenance | None
    parts: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The family in words: `kronecker + diagonal` for a product, `mixture of 3 diagonal`."""
        if not self.parts:
            return self.family
        own = list(dict.fromkeys(self.parts))
        return f"mixture of {len(self.parts)} {own[0]}" if self.family == "mixture" else " + ".join(own)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PosteriorCheck:
    """What `check` found of the files of several tasks: they can be merged, and this is worth a look."""

    files: tuple[PosteriorSummary, ...]
    warnings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "ok": True,
            "files": [file.as_dict() for file in self.files],
            "warnings": [finding.message for finding in self.warnings],
        }


def describe_posterior(path: str | os.PathLike[str], values: bool = True) -> PosteriorSummary:
    """What the file of a posterior holds, and where it comes from.

    Args:
        path: what `save_posterior` wrote.
        values: whether precisions are read, which tells their range and finds impossible ones.

    Raises:
        CheckpointError: no sound file of a posterior.
        PosteriorError: a precision that is negative, NaN or infinite; the message names its tensor.
    """
    (file,) = open_posteriors({"": path})
    return _summary(file, values)


def check_posteriors(base: Source, tasks: Mapping[str, str | os.PathLike[str]], values: bool = True) -> PosteriorCheck:
    """Whether files of posteriors fit a base and each other: names, shapes, base, units; reads the base once.

    Args:
        base: the base checkpoint.
        tasks: task → file of a posterior.
        values: as for `describe_posterior`.

    Raises:
        InputError: no tasks.
        AlignmentError, CheckpointError, PosteriorError: files that cannot be merged; the message names the file.
    """
    if not tasks:
        raise InputError("no posteriors: give at least one --task name=FILE")
    files = open_posteriors(tasks)
    require_posteriors(files)
    warnings = require_agreement(files, open_checkpoint(base))
    return PosteriorCheck(tuple(_summary(file, values) for file in files), warnings)


def _summary(file: PosteriorFile, values: bool) -> PosteriorSummary:
    specs = file.posterior.specs
    return PosteriorSummary(
        file.task,
        str(file.path),
        file.posterior.family,
        len(_plain(file.posterior).blocks()),
        len(specs),
        sum(spec.numel for spec in specs.values()),
        Path(file.path).stat().st_size,
        _range_of(_plain(file.posterior)) if values else None,
        file.provenance,
        _parts(_plain(file.posterior)),
    )


def _parts(posterior: Posterior) -> tuple[str, ...]:
    if isinstance(posterior, Mixture):
        return tuple(component.family for component in posterior.components)
    return tuple(part.family for part in posterior.parts.values()) if isinstance(posterior, Product) else ()


def _plain(found: Curvature) -> Posterior:
    return found.curvature if isinstance(found, Expanded) else found


def _range_of(posterior: Posterior) -> PrecisionRange:
    lowest, highest, total, zeros, entries = math.inf, -math.inf, 0.0, 0, 0
    for values in _diagonals(posterior):
        if values.numel():
            lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
            total += float(values.sum(dtype=torch.float64))
            zeros += int((values == 0).sum())
            entries += values.numel()
    if not entries:
        return PrecisionRange(0.0, 0.0, 0.0, 0, 0)
    return PrecisionRange(lowest, total / entries, highest, zeros, entries)


def _diagonals(posterior: Posterior) -> Iterator[Tensor]:
    """The precision's diagonal, one tensor, layer or group of coordinates at a time."""
    if isinstance(posterior, Product | Mixture):
        parts = posterior.parts.values() if isinstance(posterior, Product) else posterior.components
        for part in parts:
            yield from _diagonals(part)
    elif isinstance(posterior, Isotropic):
        yield torch.tensor([posterior.precision], dtype=torch.float64)
    elif isinstance(posterior, Diagonal):
        for block in posterior.blocks():
            yield posterior.natural(block).precision
    elif isinstance(posterior, Kronecker):
        for layer in posterior.blocks():
            yield posterior.natural(layer).factors.eigenvalues
    elif isinstance(posterior, LowRank):
        for name in posterior.names():
            _, diagonal, factors = posterior.read(name)
            yield diagonal + factors.square().sum(0)
    elif isinstance(posterior, Dense | Subspace):
        yield posterior.precision.diagonal()
