"""What is this path? From a file, a folder, a mapping or a module to a `Checkpoint`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

from torch import Tensor, nn

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import Checkpoint, MemoryTensors, TensorSource
from paretomerge.checkpoints.indexes import open_shards
from paretomerge.checkpoints.safetensors_files import open_safetensors
from paretomerge.checkpoints.torch_files import TorchFile
from paretomerge.errors import CheckpointError

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What a Hugging Face folder may hold, first choice first (the order transformers uses)."""

MANIFEST = "paretomerge.json"

NOT_COPIED = ("readme.md", "trainer_state.json", MANIFEST)
NOT_COPIED_SUFFIXES = (
    *TORCH_SUFFIXES,
    *(".safetensors", ".h5", ".msgpack", ".onnx", ".gguf", ".npz", ".index.json", ".ot", ".tflite"),
)
LARGEST_SIDE_FILE = 100_000_000  # tokenizers of large vocabularies take tens of megabytes

Source = str | PathLike[str] | Mapping[str, Tensor] | nn.Module


def open_checkpoint(source: Source) -> Checkpoint:
    """Open parameters for lazy reading.

    Args:
        source: a Hugging Face folder (`model.safetensors` or `pytorch_model.bin`, whole or sharded with an
            index), a `.safetensors` file, an `.index.json`, a PyTorch state dict (`.pt`, `.pth`, `.bin`,
            `.ckpt`; loaded without executing code), a mapping of names to tensors, or a module.

    Raises:
        CheckpointError: nothing there, an unknown kind, a broken file, or an adapter.
        StorageError: the disk refused to read.

    >>> import torch
    >>> open_checkpoint({"w": torch.zeros(2, 3)}).spec("w").shape
    (2, 3)
    """
    if isinstance(source, Checkpoint):
        return source
    if isinstance(source, nn.Module):
        return Checkpoint((MemoryTensors(source.state_dict(), f"the module {type(source).__name__}"),))
    if isinstance(source, Mapping):
        return Checkpoint((MemoryTensors(source),))
    if not isinstance(source, (str, PathLike)):
        raise CheckpointError(
            f"cannot open a {type(source).__name__}: give a path, a mapping of names to tensors, or a module"
        )
    path = Path(source).expanduser()
    with storage_errors(path, "read"):
        if not path.exists():
            raise CheckpointError(_nothing_there(path))
        return _open_folder(path) if path.is_dir() else Checkpoint(_open_file(path), path)


def _open_folder(folder: Path) -> Checkpoint:
    names = sorted(file.name for file in folder.iterdir())
    if not names:
        raise CheckpointError(f"{folder}: the folder is empty: expected {WEIGHT_FILES[0]} or {WEIGHT_FILES[2]}")
    _refuse_adapter(folder)
    for name in WEIGHT_FILES:
        if name in names:
            return Checkpoint(_open_file(folder / name), folder, _side_files(folder))
    shards = [name for name in names if "-of-" in name]
    if shards:
        raise CheckpointError(
            f"{folder}: holds shards ({shards[0]} …) but no index: copy {WEIGHT_FILES[1]} (or {WEIGHT_FILES[3]}) too"
        )
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    raise CheckpointError(
        f"{folder}: no weights found: expected one of {', '.join(WEIGHT_FILES)}; the folder holds "
        f"{', '.join(names[:6])}{more}. Give the file itself if it has another name"
    )


def _open_file(path: Path) -> tuple[TensorSource, ...]:
    if path.name.startswith("adapter_model."):
        _refuse_adapter(path.parent)
    if path.name.endswith(".safetensors.index.json"):
        return open_shards(path, open_safetensors)
    if path.name.endswith(".bin.index.json"):
        return open_shards(path, TorchFile)
    if path.suffix == ".safetensors":
        held = open_safetensors(path)
        if not held.names:
            raise CheckpointError(f"{path}: holds no tensors")
        return (held,)
    if path.suffix in TORCH_SUFFIXES:
        return (TorchFile(path),)
    raise CheckpointError(
        f"{path}: unknown kind of file {path.suffix or path.name!r}: expected .safetensors, .safetensors.index.json, "
        f"{', '.join(TORCH_SUFFIXES)}, or a folder"
    )


def _refuse_adapter(folder: Path) -> None:
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"{folder}: this is an adapter (adapter_config.json), which is not yet supported: merge it into its base "
            "first, for example with peft's merge_and_unload() and save_pretrained(), and give that folder"
        )


def _side_files(folder: Path) -> tuple[Path, ...]:
    # links are followed: the Hugging Face cache is made of them
    return tuple(
        file
        for file in sorted(folder.iterdir())
        if file.is_file()
        and not file.name.startswith(".")
        and file.name.lower() not in NOT_COPIED
        and not file.name.lower().endswith(NOT_COPIED_SUFFIXES)
        and file.stat().st_size <= LARGEST_SIDE_FILE
    )


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
        f"{path}: there is no such file or folder ({parent} holds no similar name). Nothing is downloaded: "
        "if this is a model's name on a hub, download it first and give its folder"
    )
