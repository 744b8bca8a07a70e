"""Posteriors on disk: one `.safetensors` file, its structure as JSON in the header.

The tensors of a part have its path as prefix (`mean/`, `precision/`, `basis/3/`, `parts/0/mean/`), the
metadata entry `paretomerge` says how they fit together and where the precision comes from. What is large is read
lazily again: the loaded posterior keeps the file, not its values, so the file must stay where it is. Nothing in a
file is executed, and nothing of it is believed before it is checked.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.files.safetensors_files import SafetensorsFile, open_safetensors
from paretomerge.checkpoints.paths import user_path
from paretomerge.checkpoints.posteriors.families import read_posterior, write_posterior
from paretomerge.checkpoints.posteriors.tensors import Collected, Stored
from paretomerge.checkpoints.writing.file import write_file
from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.errors import CheckpointError, PosteriorError, nearest
from paretomerge.posteriors import Curvature, Expanded, Posterior, Provenance

VERSION = 1
KEY = "paretomerge"


def save_posterior(path: str | os.PathLike[str], posterior: Curvature, provenance: Provenance | None = None) -> Path:
    """Write a posterior to one `.safetensors` file, atomically; a file of that name is replaced.

    Args:
        path: the file, with the suffix `.safetensors`.
        posterior: of any family of this package; or an expansion without damping.
        provenance: where the precision comes from; whoever merges the file later is told. Its `version` is this
            package's where it names none.

    Raises:
        PosteriorError: a family that this format does not know.
        CheckpointError: a name that does not end in `.safetensors`.
        StorageError: the disk refused; what was there before stays.
    """
    target = user_path(path)
    if target.suffix != ".safetensors":
        raise CheckpointError(f"{target}: a posterior is saved as a .safetensors file: give that suffix")
    collected = Collected()
    content: dict[str, Any] = {"version": VERSION, "posterior": write_posterior(posterior, collected)}
    if provenance is not None:
        content["provenance"] = provenance.as_dict() | {"version": provenance.version or tool_version()}
    return write_file(target, collected.tensors, {"format": "pt", KEY: json.dumps(content)})


def holds_posterior(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a file that `save_posterior` wrote."""
    source = user_path(path)
    if source.suffix != ".safetensors" or not source.is_file():
        return False
    return KEY in open_safetensors(source).metadata


def load_posterior(path: str | os.PathLike[str]) -> Posterior:
    """Read what `save_posterior` wrote; means, precisions of tensors and layers, and bases are read when they are used.

    Raises:
        CheckpointError: not a posterior, truncated, of an unknown family, or written by a newer version.
        PosteriorError: values that are no posterior, or an expansion that is none before it is damped.
        StorageError: the disk refused to read.
    """
    found = load_curvature(path)
    if isinstance(found, Expanded):
        raise PosteriorError(
            f"{path}: holds a loss expanded where merges land, which is a posterior only with damping: name the files "
            "of all tasks as posterior.files in a recipe, or read them with load_curvature and damp them together"
        )
    return found


def load_curvature(path: str | os.PathLike[str]) -> Curvature:
    """As `load_posterior`; expansions come back as they are, to be damped together with those of the other tasks.

    Raises:
        CheckpointError, PosteriorError, StorageError: as `load_posterior`.
    """
    file, content = _open(path)
    try:
        return read_posterior(Stored(file), content.get("posterior"))
    except PosteriorError as error:
        raise PosteriorError(f"{file.path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise _broken(file.path, f"its description does not fit its tensors ({error})") from error


def read_provenance(path: str | os.PathLike[str]) -> Provenance | None:
    """Where the precision of a file comes from; `None` in files that do not say, as those of older versions.

    Raises:
        CheckpointError: as `load_posterior`, or a provenance that cannot be meant.
        StorageError: the disk refused to read.
    """
    file, content = _open(path)
    if content.get("provenance") is None:
        return None
    try:
        return Provenance.of(content["provenance"])
    except PosteriorError as error:
        raise _broken(file.path, str(error)) from error


def _open(path: str | os.PathLike[str]) -> tuple[SafetensorsFile, dict[str, Any]]:
    """The file and its description, of a version that can be read."""
    source = user_path(path)
    if not source.is_file():
        raise CheckpointError(f"{source}: {_absence(source)}")
    file = open_safetensors(source)
    if KEY not in file.metadata:
        raise CheckpointError(f"{source}: holds tensors but no posterior: open it with open_checkpoint")
    try:
        content = json.loads(file.metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise _broken(source, "its description is not readable") from error
    if not isinstance(content, dict) or "version" not in content or "posterior" not in content:
        raise _broken(source, "its description is not readable")
    version = content["version"]
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION:
        raise CheckpointError(
            f"{source}: written in version {version!r:.20} of the format, this paretomerge reads up to {VERSION}: "
            "upgrade paretomerge"
        )
    return file, content


def _absence(source: Path) -> str:
    """Why `source` is no file, and which one was perhaps meant."""
    if source.is_dir():
        inside = sorted(source.glob("*posterior*.safetensors"))
        return "a folder, not the file of a posterior" + (f": give {inside[0]}" if inside else "")
    return "there is no such file" + nearest(source.name, [path.name for path in source.parent.glob("*.safetensors")])


def _broken(path: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{path}: not a sound posterior file: {why}. Fit and save the posterior again")
