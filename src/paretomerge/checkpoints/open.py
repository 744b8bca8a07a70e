"""What is this path? From a file, a folder, an address, a mapping or a module to a `Checkpoint`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

from torch import Tensor, nn

from paretomerge.checkpoints.adapters.config import CONFIG, AdapterConfig, read_adapter_config
from paretomerge.checkpoints.adapters.low_rank import ADAPTER_FILES, open_adapter
from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import Checkpoint, MemoryTensors, TensorSource
from paretomerge.checkpoints.files.gguf_files import open_gguf
from paretomerge.checkpoints.files.hub import SCHEME, HubAddress, download, pinned
from paretomerge.checkpoints.files.indexes import open_shards
from paretomerge.checkpoints.files.quantised import require_not_quantised
from paretomerge.checkpoints.files.safetensors_files import open_safetensors
from paretomerge.checkpoints.files.torch_files import TORCH_SUFFIXES, open_torch_file, open_torch_shard
from paretomerge.checkpoints.folders import MANIFEST, WEIGHT_FILES
from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import CheckpointError

NOT_COPIED = ("readme.md", "front.png", "trainer_state.json", CONFIG, MANIFEST)
NOT_COPIED_SUFFIXES = (
    *TORCH_SUFFIXES,
    *(".safetensors", ".h5", ".msgpack", ".onnx", ".gguf", ".npz", ".index.json", ".ot", ".tflite"),
)
LARGEST_SIDE_FILE = 100_000_000  # tokenizers of large vocabularies take tens of megabytes

Source = str | PathLike[str] | Mapping[str, Tensor] | nn.Module


def open_checkpoint(source: Source, base: Source | None = None) -> Checkpoint:
    """Open parameters for lazy reading.

    Args:
        source: a Hugging Face folder (`model.safetensors` or `pytorch_model.bin`, whole or sharded with an
            index), a folder with a LoRA adapter of peft, a `.safetensors` file, an `.index.json`, a PyTorch
            state dict or training checkpoint (`.pt`, `.pth`, `.bin`, `.ckpt`; nothing in it is executed), a
            `.gguf` file that is not quantised, `hub://organisation/name@revision` (fetched from the Hugging
            Face hub; nothing else uses the network), a mapping of names to tensors, or a module.
        base: the model that an adapter was trained on, in any of these forms; without it the path that the
            adapter names. It is not used for a source that is not an adapter.

    Raises:
        CheckpointError: nothing there, an unknown kind, a broken or quantised file, or an adapter that cannot be
            applied exactly.
        StorageError: the disk refused to read, or the hub was not reached.
        MissingExtraError: a `hub://` address without `huggingface_hub`.

    >>> import torch
    >>> open_checkpoint({"w": torch.zeros(2, 3)}).spec("w").shape
    (2, 3)
    """
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, nn.Module):
        held = MemoryTensors(source.state_dict(), f"the module {type(source).__name__}")
        return require_not_quantised(Checkpoint((held,)))
    if isinstance(source, Mapping):
        return require_not_quantised(Checkpoint((MemoryTensors(source),)))
    if not isinstance(source, (str, PathLike)):
        raise CheckpointError(
            f"cannot open a {type(source).__name__}: give a path, a mapping of names to tensors, or a module"
        )
    address = _address(source)
    path = user_path(source) if address is None else download(address.name, address.revision)
    with storage_errors(path, "read"):
        if not path.exists():
            raise CheckpointError(_nothing_there(path))
        opened = _open_path(path, base)
    if address is not None:
        opened.address = str(pinned(address, path))
    return require_not_quantised(opened)


def _address(source: str | PathLike[str]) -> HubAddress | None:
    text = os.fspath(source)
    scheme = SCHEME.rstrip("/") + "/"
    if not text.startswith(scheme):
        return None
    return HubAddress.parse(SCHEME + text.removeprefix(scheme).lstrip("/"))  # a Path keeps one slash of two


def _open_path(path: Path, base: Source | None) -> Checkpoint:
    if path.is_dir():
        return _open_folder(path, base)
    if path.name in ADAPTER_FILES:
        if not (path.parent / CONFIG).is_file():
            raise CheckpointError(f"{path}: an adapter without its {CONFIG}: copy the whole folder, and give that")
        return _open_adapter(path.parent, base)
    return Checkpoint(_open_file(path), path)


def _open_folder(folder: Path, base: Source | None) -> Checkpoint:
    names = sorted(file.name for file in folder.iterdir())
    if not names:
        raise CheckpointError(f"{folder}: the folder is empty: expected {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]}")
    weights = next((name for name in WEIGHT_FILES if name in names), None)
    if CONFIG in names and weights is not None and base is None:
        raise CheckpointError(
            f"{folder}: holds an adapter ({CONFIG}) and whole weights ({weights}): give the file {weights} if you mean "
            "the weights, or the base if you mean the adapter"
        )
    if CONFIG in names:
        return _open_adapter(folder, base)
    if weights is not None:
        return Checkpoint(_open_file(folder / weights), folder, _side_files(folder))
    raise CheckpointError(_no_weights(folder, names))


def _no_weights(folder: Path, names: list[str]) -> str:
    shards = [name for name in names if "-of-" in name]
    if shards:
        return f"{folder}: holds shards ({shards[0]} …) but no index: copy {WEIGHT_FILES[1]} (or {WEIGHT_FILES[3]}) too"
    adapters = [name for name in names if (folder / name / CONFIG).is_file()]
    if adapters:
        return f"{folder}: holds adapters in folders of their own ({', '.join(adapters)}): give one of those folders"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return (
        f"{folder}: no weights found: expected one of {', '.join(WEIGHT_FILES)}; the folder holds "
        f"{', '.join(names[:6])}{more}. Give the file itself if it has another name"
    )


def _open_adapter(folder: Path, base: Source | None) -> Checkpoint:
    config = read_adapter_config(folder)
    return open_adapter(config, open_checkpoint(_base_of(config) if base is None else base), _side_files(folder))


def _base_of(config: AdapterConfig) -> Path:
    """The base that an adapter names, if it is on this machine."""
    said = config.base or ""
    for path in (user_path(said), config.folder / said):
        if said and path.exists() and path.resolve() != config.folder.resolve():
            return path
    what = f"{said!r}, which is not on this machine" if said else "a base that it does not name"
    raise CheckpointError(
        f"{config.folder}: is an adapter on {what}: give the base too, as a folder or as {SCHEME}organisation/name"
    )


def _open_file(path: Path) -> tuple[TensorSource, ...]:
    if not path.is_file():  # to open a pipe is to wait for whoever writes into it
        raise CheckpointError(f"{path}: is no regular file: give a file or a folder with weights")
    if path.name.endswith(".safetensors.index.json"):
        return open_shards(path, open_safetensors)
    if path.name.endswith(".bin.index.json"):
        return open_shards(path, open_torch_shard)
    if path.suffix == ".safetensors":
        held = open_safetensors(path)
        if not held.names:
            raise CheckpointError(f"{path}: holds no tensors")
        return (held,)
    if path.suffix in TORCH_SUFFIXES:
        return (open_torch_file(path),)
    if path.suffix == ".gguf":
        return (open_gguf(path),)
    raise CheckpointError(
        f"{path}: unknown kind of file {path.suffix or path.name!r}: expected .safetensors, .safetensors.index.json, "
        f".gguf, {', '.join(TORCH_SUFFIXES)}, or a folder"
    )


def _side_files(folder: Path) -> tuple[Path, ...]:
    return tuple(
        file
        for file in sorted(folder.iterdir())
        if file.is_file()
        and not file.name.startswith(".")
        and file.name.lower() not in NOT_COPIED
        and not file.name.lower().endswith(NOT_COPIED_SUFFIXES)
        and file.stat().st_size <= LARGEST_SIDE_FILE
        and _belongs_to(folder, file)
    )


def _belongs_to(folder: Path, file: Path) -> bool:
    """Whether a file's content is the folder's own; links into the Hugging Face cache, which is made of them, are."""
    if not file.is_symlink():
        return True
    real = file.resolve()
    own = [folder.resolve()]
    if folder.resolve().parent.name == "snapshots":
        own.append(folder.resolve().parent.parent / "blobs")
    if any(real.is_relative_to(place) for place in own):
        return True
    warnings.warn(
        f"{file} is a link out of its folder, to {real}: it is not copied beside merged weights. Put a copy of "
        "the file in its place if it belongs to the model",
        stacklevel=2,
    )
    return False


def _nothing_there(path: Path) -> str:
    parent = path.absolute().parent
    wanted = path.name
    while not parent.exists():
        parent, wanted = parent.parent, parent.name
    there = sorted(file.name for file in parent.iterdir()) if parent.is_dir() else []
    close = get_close_matches(wanted, there, n=1, cutoff=0.5)
    if close:
        return f"{path}: there is no such file or folder; the nearest name is {str(parent / close[0])!r}"
    return (
        f"{path}: there is no such file or folder ({parent} holds no similar name). Nothing is downloaded "
        f"unless you ask for it: if this is a model's name on the hub, give {SCHEME}{path.as_posix()}"
    )
