"""Writing tensors to their planned places, as they come.

A file is opened when its first tensor comes and closed, forced to the disk, after its last one; so blocks in
the order of the plan keep one file open, and any other order works too. Each tensor's checksum is kept, so that what
is on the disk can be compared with what was written.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.arithmetic import round_into
from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.files.byte_ranges import Stamp, read_range, stamp_of
from paretomerge.checkpoints.writing.shards import Shard
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import TensorSpec

PIECE = 1 << 26  # bytes that are read back at a time


class TensorWriter:
    """Writes each tensor of `specs` once, into the files of `shards` in `folder`.

    `target` is the final name, which messages give instead of the temporary one.
    """

    def __init__(self, folder: Path, specs: Mapping[str, TensorSpec], shards: tuple[Shard, ...], target: Path) -> None:
        """Nothing is written yet."""
        self._folder = folder
        self._target = target
        self._specs = specs
        self._shards = shards
        self._shard = {name: shard for shard in shards for name in shard.starts}
        self._waiting = {shard.file: set(shard.starts) for shard in shards}
        self._handles: dict[str, FileIO] = {}
        self.checksums: dict[str, int] = {}

    def write(self, name: str, tensor: Tensor) -> None:
        """Convert one tensor to its planned dtype and write it.

        Raises:
            CheckpointError: an unplanned name, one that came before, another shape, or values that the
                planned dtype cannot hold.
            StorageError: the disk refused.
        """
        shard = self._shard.get(name)
        if shard is None:
            raise CheckpointError(f"the block {name!r} is not among the planned tensors: leave it out or plan it")
        if name not in self._waiting[shard.file]:
            raise CheckpointError(f"the block {name!r} came twice: each tensor is written once")
        values = as_bytes(convert(name, tensor, self._specs[name]))
        with storage_errors(self._target):
            handle = self._handle(shard)
            handle.seek(shard.starts[name])
            _write_all(handle, values)
            self.checksums[name] = zlib.crc32(values)
            self._waiting[shard.file].discard(name)
            if not self._waiting[shard.file]:
                self._finish(shard.file)

    def require_complete(self) -> None:
        """Raise `CheckpointError` if a planned tensor never came."""
        missing = [name for names in self._waiting.values() for name in names]
        if missing:
            first = next(name for name in self._specs if name in missing)
            raise CheckpointError(
                f"the blocks ended before {len(missing)} of {len(self._specs)} tensors came, the first is {first!r}: "
                "nothing was written"
            )

    def verify(self) -> None:
        """Read every file back: its header must say what was planned, its values have the checksums of what came.

        Raises:
            StorageError: the disk gives back something else.
        """
        for shard in self._shards:
            path, length = self._folder / shard.file, len(shard.header)
            with storage_errors(self._target, "read"), path.open("rb") as handle:
                stamp = stamp_of(handle)
                same = handle.read(length) == shard.header and stamp[2] == shard.nbytes
            self._require_same(same, "the header", shard.file)
            for name, start in shard.starts.items():
                found = _checksum(path, stamp, start, self._specs[name].nbytes, name)
                self._require_same(found == self.checksums[name], repr(name), shard.file)

    def _require_same(self, same: bool, what: str, file: str) -> None:
        if not same:
            raise StorageError(
                f"{self._target}: {what} was read back from {file} with other values than written: the disk or its "
                "memory is failing; nothing was kept. Write to another disk"
            )

    def close(self) -> None:
        """Close what is still open after a failure; its content is about to be removed."""
        for handle in self._handles.values():
            try:
                handle.close()
            except OSError:  # the failure that brought us here is already on its way up
                continue

    def _handle(self, shard: Shard) -> FileIO:
        if shard.file not in self._handles:
            # unbuffered: what is written is as large as a tensor
            handle = self._handles[shard.file] = (self._folder / shard.file).open("wb", buffering=0)
            _write_all(handle, memoryview(shard.header))
            handle.truncate(shard.nbytes)
        return self._handles[shard.file]

    def _finish(self, file: str) -> None:
        handle = self._handles[file]
        os.fsync(handle.fileno())
        handle.close()
        del self._handles[file]


def _write_all(handle: FileIO, values: memoryview) -> None:
    written = 0
    while written < len(values):  # one call may take less than it was given: two gigabytes is a common limit
        written += handle.write(values[written:])


def _checksum(path: Path, stamp: Stamp, start: int, nbytes: int, name: str) -> int:
    checksum = 0
    buffer = torch.empty(min(PIECE, nbytes), dtype=torch.uint8)
    for reached in range(0, nbytes, PIECE):
        piece = read_range(path, stamp, start + reached, min(PIECE, nbytes - reached), buffer, name)
        checksum = zlib.crc32(piece.numpy().data, checksum)
    return checksum


def convert(name: str, tensor: Tensor, spec: TensorSpec) -> Tensor:
    """`tensor` in the dtype of `spec`, checked: same shape, same kind of number, no overflow."""
    if not isinstance(tensor, Tensor):
        raise CheckpointError(f"the block {name!r} is {type(tensor).__name__}, not a tensor")
    if tuple(tensor.shape) != spec.shape:
        raise CheckpointError(f"the block {name!r} has shape {list(tensor.shape)}, but {list(spec.shape)} was planned")
    if tensor.dtype == spec.dtype:
        return tensor.detach()
    if _kind(tensor.dtype) != _kind(spec.dtype):
        raise CheckpointError(
            f"the block {name!r} is {tensor.dtype}, but {spec.dtype} was planned: rounding it would lose values; "
            "copy counters and masks from the base instead of merging them"
        )
    converted = torch.empty(spec.shape, dtype=spec.dtype, device=tensor.device)
    round_into(converted, tensor.detach())
    if _overflows(tensor, converted):
        raise CheckpointError(
            f"{name!r} holds values up to {tensor.detach().abs().max().item():.4g}, more than {spec.dtype} can hold: "
            "write in a wider dtype such as torch.bfloat16 or torch.float32"
        )
    return converted


def as_bytes(tensor: Tensor) -> memoryview:
    """The values as little-endian bytes (copied only if the tensor is not contiguous or not on the CPU)."""
    flat = tensor.cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data


def _kind(dtype: torch.dtype) -> str:
    return "floating" if dtype.is_floating_point else "complex" if dtype.is_complex else "integer"


def _overflows(before: Tensor, after: Tensor) -> bool:
    if _kind(after.dtype) == "integer":  # a counter that comes back changed was too large
        return not bool((after.to(before.dtype) == before).all())
    lost = ~torch.isfinite(after.to(torch.float32) if after.dtype.itemsize == 1 else after)
    return bool((lost & torch.isfinite(before)).any())
