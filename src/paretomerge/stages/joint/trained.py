"""A jointly finetuned model as a folder: everything a later command or another program needs of it.

model.safetensors, config.json, tokenizer …    as transformers reads them
posterior.safetensors                          what the optimizer learned of the curvature
adapter/                                       the adapter alone, where one was trained
paretomerge.json                               how it was trained
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints import MANIFEST, Checkpoint, save_posterior, write_adapter, write_checkpoint
from paretomerge.checkpoints.atomic import storage_errors, sync_file, sync_folder
from paretomerge.checkpoints.paths import user_path
from paretomerge.checkpoints.writing.new_folder import new_folder
from paretomerge.errors import CheckpointError
from paretomerge.exports import ModelCard
from paretomerge.exports.checkpoint import texts_and_files
from paretomerge.posteriors import Provenance
from paretomerge.training import Finetuned
from paretomerge.types import Params, spec_of

POSTERIOR = "posterior.safetensors"
ADAPTER = "adapter"


def write_trained(
    folder: Path,
    result: Finetuned,
    base: Checkpoint,
    provenance: Provenance,
    manifest: Mapping[str, object],
    *,
    from_base: bool = True,
) -> Path:
    """Write a trained model's folder, complete or not at all.

    Args:
        folder: to make; nothing of that name may be there.
        result: what was trained.
        base: whose names and side files it gets. The dtype is that of the training, and the configuration says so.
        provenance: of the posterior.
        manifest: how it was trained, JSON values.
        from_base: whether training started from the base. An adapter that was trained on top of a merge fits that
            merge alone, so neither it nor the posterior of its matrices is written.

    Raises:
        CheckpointError: the name is taken.
        StorageError: the disk refused; nothing half-written is left.
    """
    params = _as_in_base(result.params, base)
    texts, side_files = texts_and_files(ModelCard(folder.name, "joint finetuning"), base.side_files, _dtype(params))
    specs = {name: spec_of(params, name) for name in params}
    with new_folder(folder, overwrite=False) as made:
        write_checkpoint(made, specs, params.items(), side_files=side_files, texts=texts, manifest=manifest)
        if result.posterior is not None and (result.adapter is None or from_base):
            save_posterior(made / POSTERIOR, result.posterior, provenance)
        if result.adapter is not None and from_base:
            config = {**result.adapter.config, "base_model_name_or_path": _address(base), "inference_mode": True}
            write_adapter(made / ADAPTER, result.adapter.tensors, config, manifest=manifest)
    return folder


def copy_trained(source: Path, target: Path, additions: Mapping[str, object], *, overwrite: bool = False) -> Path:
    """Copy a trained model's folder, with more in its manifest.

    Raises:
        CheckpointError: the name is taken.
        StorageError: the disk refused; nothing half-written is left.
    """
    target = user_path(target).absolute()
    with new_folder(target, overwrite) as made, storage_errors(target):
        shutil.copytree(source, made)
        content = {**read_manifest(source), **additions}
        (made / MANIFEST).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        for path in made.rglob("*"):
            sync_folder(path) if path.is_dir() else sync_file(path)
        sync_folder(made)
    return target


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a trained model's folder says of itself.

    Raises:
        CheckpointError: it has no manifest that can be read.
        StorageError: the disk refused to read.
    """
    path = folder / MANIFEST
    try:
        with storage_errors(path, "read"):
            content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: delete {folder}, and what it held is trained again") from error
    return content if isinstance(content, dict) else {}


def _as_in_base(params: Params, base: Checkpoint) -> dict[str, torch.Tensor]:
    """In the order of the base; without second names of tied tensors that the base has not either."""
    ordered = {name: params[name] for name in base if name in params}
    more = [name for name in params if name not in base]
    return ordered | {name: params[name] for name in more if not _is_copy(params[name], ordered)}


def _is_copy(tensor: torch.Tensor, others: Params) -> bool:
    return tensor.ndim > 1 and any(
        other.shape == tensor.shape and other.dtype == tensor.dtype and torch.equal(other, tensor)
        for other in others.values()
    )


def _dtype(params: Params) -> torch.dtype | None:
    """The one floating-point dtype of the parameters, if there is one."""
    found = {spec_of(params, name).dtype for name in params if spec_of(params, name).dtype.is_floating_point}
    return found.pop() if len(found) == 1 else None


def _address(base: Checkpoint) -> str | None:
    """Where peft finds the base."""
    if base.address is not None:
        return base.address.removeprefix("hub://").rpartition("@")[0] or base.address
    return str(base.source.absolute()) if base.source is not None else None
