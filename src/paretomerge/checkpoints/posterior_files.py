"""Posteriors on disk: one `.safetensors` file, its structure as JSON in the header.

The tensors of a part have its path as prefix (`mean/`, `precision/`, `basis/3/`, `parts/0/mean/`), the
metadata entry `paretomerge` says how they fit together. What is large is read lazily again: the loaded
posterior keeps the file, not its values, so the file must stay where it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paretomerge.checkpoints.atomic import storage_errors, sync_folder, temporary_beside
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.files.safetensors_files import SafetensorsFile, open_safetensors
from paretomerge.checkpoints.writing.shards import plan_file, require_writable
from paretomerge.checkpoints.writing.tensor_writer import TensorWriter
from paretomerge.errors import CheckpointError, PosteriorError
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    DirectionLabel,
    Isotropic,
    Posterior,
    Product,
    Subspace,
)
from paretomerge.types import Params, TensorSpec, spec_of

VERSION = 1
KEY = "paretomerge"


def save_posterior(path: str | os.PathLike[str], posterior: Posterior) -> Path:
    """Write a posterior to one `.safetensors` file, atomically; a file of that name is replaced.

    Raises:
        PosteriorError: a family that this format does not know.
        CheckpointError: a name that does not end in `.safetensors`.
        StorageError: the disk refused; what was there before stays.
    """
    target = Path(path).expanduser()
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target}: a posterior is saved as a .safetensors file: give that suffix")
    collected = _Collected()
    structure = collected.add(posterior, "")
    metadata = {"format": "pt", KEY: json.dumps({"version": VERSION, "posterior": structure})}
    specs = {key: spec_of(params, name) for key, (params, name) in collected.tensors.items()}
    require_writable(specs)
    _write(target, specs, collected.tensors, metadata)
    return target


def holds_posterior(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a file that `save_posterior` wrote."""
    source = Path(path).expanduser()
    if source.suffix != ".safetensors" or not source.is_file():
        return False
    return KEY in open_safetensors(source).metadata


def load_posterior(path: str | os.PathLike[str]) -> Posterior:
    """Read what `save_posterior` wrote; means and diagonal precisions are read when they are used.

    Raises:
        CheckpointError: not a posterior, truncated, of an unknown family, or written by a newer version.
        PosteriorError: values that are no posterior.
        StorageError: the disk refused to read.
    """
    source = Path(path).expanduser()
    if not source.is_file():
        raise CheckpointError(f"{source}: there is no such file")
    file = open_safetensors(source)
    if KEY not in file.metadata:
        raise CheckpointError(f"{source}: holds tensors but no posterior: open it with open_checkpoint")
    try:
        content = json.loads(file.metadata[KEY])
        version, structure = content["version"], content["posterior"]
    except (ValueError, KeyError, TypeError) as error:
        raise _broken(source, "its description is not readable") from error
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"{source}: written in version {version!r} of the format, this paretomerge reads up to {VERSION}: "
            "upgrade paretomerge"
        )
    try:
        return _build(file, structure, "")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _broken(source, f"its description does not fit its tensors ({error})") from error


@dataclass
class _Collected:
    """The tensors of a posterior by key in the file, and the description built on the way."""

    tensors: dict[str, tuple[Params, str]] = field(default_factory=dict)

    def add(self, posterior: Posterior, prefix: str) -> dict[str, Any]:
        """Note the tensors of `posterior` under `prefix`; return its description."""
        found: dict[str, Any] = {"family": posterior.family}
        if isinstance(posterior, Isotropic):
            self._params(f"{prefix}mean/", posterior.mean)
            return found | {"precision": posterior.precision}
        if isinstance(posterior, Diagonal):
            self._params(f"{prefix}mean/", posterior.mean)
            self._params(f"{prefix}precision/", posterior.precision)
            return found
        if isinstance(posterior, Dense):
            self._params(f"{prefix}mean/", posterior.mean)
            self._tensor(f"{prefix}precision", posterior.precision)
            return found
        if isinstance(posterior, Subspace):
            self._params(f"{prefix}origin/", posterior.origin)
            for number, direction in enumerate(posterior.basis.directions):
                self._params(f"{prefix}basis/{number}/", direction)
            self._tensor(f"{prefix}precision", posterior.precision)
            self._tensor(f"{prefix}precision_mean", posterior.precision_mean)
            return found | {
                "labels": [[label.kind, label.task, label.group] for label in posterior.basis.labels],
                "anchors": {task: anchor.tolist() for task, anchor in posterior.basis.anchors.items()},
            }
        if isinstance(posterior, Product):
            parts = enumerate(posterior.parts.items())
            return found | {
                "parts": [[name, self.add(part, f"{prefix}parts/{number}/")] for number, (name, part) in parts]
            }
        raise PosteriorError(
            f"posteriors of the family {posterior.family!r} cannot be saved: the file format knows isotropic, "
            "diagonal, dense, subspace and product"
        )

    def _params(self, prefix: str, params: Params) -> None:
        self.tensors.update({prefix + name: (params, name) for name in params})

    def _tensor(self, key: str, tensor: Tensor) -> None:
        self.tensors[key] = ({key: tensor}, key)


@dataclass(frozen=True)
class _Prefixed:
    """The tensors of a file whose names start with `prefix`, under the rest of their names."""

    file: SafetensorsFile
    prefix: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names without the prefix, in the order of the file."""
        return tuple(name.removeprefix(self.prefix) for name in self.file.names if name.startswith(self.prefix))

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype."""
        return self.file.spec(self.prefix + name)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """Values."""
        return self.file.read(self.prefix + name, buffer)

    def locate(self, name: str) -> tuple[SafetensorsFile, str]:
        """The file, and the full name."""
        return self.file, self.prefix + name


def _build(file: SafetensorsFile, structure: Any, prefix: str) -> Posterior:
    family = structure["family"]
    if family == Isotropic.family:
        return Isotropic(_params(file, f"{prefix}mean/"), structure["precision"])
    if family == Diagonal.family:
        return Diagonal(_params(file, f"{prefix}mean/"), _params(file, f"{prefix}precision/"))
    if family == Dense.family:
        return Dense(_params(file, f"{prefix}mean/"), file.read(f"{prefix}precision"))
    if family == Subspace.family:
        labels = tuple(DirectionLabel(*label) for label in structure["labels"])
        directions = (_params(file, f"{prefix}basis/{number}/") for number in range(len(labels)))
        anchors = {
            task: torch.tensor(anchor, dtype=torch.float64) for task, anchor in structure.get("anchors", {}).items()
        }
        basis = Basis(tuple(directions), labels, anchors)
        precision, precision_mean = file.read(f"{prefix}precision"), file.read(f"{prefix}precision_mean")
        return Subspace(_params(file, f"{prefix}origin/"), basis, precision, precision_mean)
    if family == Product.family:
        parts = enumerate(structure["parts"])
        return Product({name: _build(file, part, f"{prefix}parts/{number}/") for number, (name, part) in parts})
    raise CheckpointError(
        f"{file.path}: holds a posterior of the unknown family {family!r}: it was written by an extension or by "
        "a newer paretomerge; upgrade"
    )


def _params(file: SafetensorsFile, prefix: str) -> Checkpoint:
    return Checkpoint((_Prefixed(file, prefix),), file.path)


def _write(
    target: Path,
    specs: Mapping[str, TensorSpec],
    tensors: Mapping[str, tuple[Params, str]],
    metadata: Mapping[str, str],
) -> None:
    temporary = temporary_beside(target)
    writer = TensorWriter(temporary.parent, specs, (plan_file(temporary.name, specs, metadata),), target)
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        for key, (params, name) in tensors.items():
            writer.write(key, params[name])
        writer.require_complete()
        with storage_errors(target):
            os.replace(temporary, target)
            sync_folder(target.parent)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _broken(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path}: not a sound posterior file: {why}. Fit and save the posterior again")
