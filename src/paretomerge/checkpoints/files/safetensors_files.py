"""Reading one `.safetensors` file tensor by tensor.

The format: 8 bytes, the little-endian length `n` of the header; `n` bytes of JSON, name to dtype, shape and
`data_offsets` (begin, end) relative to the end of the header; then the data, without holes. The header is
checked here in full, so that a download that stopped halfway is reported as such, with both sizes.
Reference: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.files.byte_ranges import Stamp, read_range, require_unchanged, stamp_of
from paretomerge.checkpoints.files.json_keys import RepeatedKeyError, unique_keys
from paretomerge.checkpoints.files.shapes import LARGEST_NUMBER, can_be_counted
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec

LENGTH_BYTES = 8
LONGEST_NAME = 10_000
LARGEST_HEADER = 100_000_000  # the limit of the reference implementation

DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}
DTYPE_CODES: dict[torch.dtype, str] = {dtype: code for code, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Entry:
    """One tensor of the file: its spec, and its first byte counted from the start of the file."""

    spec: TensorSpec
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return self.spec.nbytes


@dataclass(frozen=True)
class SafetensorsFile:
    """One `.safetensors` file: only its header is in memory. Make it with `open_safetensors`."""

    path: Path
    entries: dict[str, Entry]
    metadata: dict[str, str]
    stamp: Stamp

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the header."""
        return tuple(self.entries)

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor, from the header."""
        return self.entries[name].spec

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """Read the bytes of one tensor into `buffer` (uint8), or into fresh memory.

        Raises:
            StorageError: the disk refused, or the file was replaced since it was opened.
        """
        entry = self.entries[name]
        held = read_range(self.path, self.stamp, entry.start, entry.nbytes, buffer, name)
        return held.view(entry.spec.dtype).reshape(entry.spec.shape)

    def locate(self, name: str) -> tuple[SafetensorsFile, str]:
        """Itself."""
        return self, name

    def require_unchanged(self) -> None:
        """Raise `StorageError` if the file was replaced or written to since it was opened."""
        require_unchanged(self.path, self.stamp)


def open_safetensors(path: Path) -> SafetensorsFile:
    """Read and check the header of `path`; no values are read.

    Raises:
        CheckpointError: not a safetensors file, truncated, or a header that contradicts itself.
        StorageError: the disk refused to read.
    """
    with storage_errors(path, "read"), path.open("rb") as handle:
        stamp = stamp_of(handle)
        size = stamp[2]
        first = handle.read(LENGTH_BYTES)
        length = _header_length(path, first, size)
        raw = handle.read(length)
    header = _parse(path, raw)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _broken(path, "its metadata is not a mapping of text to text")
    start = LENGTH_BYTES + length
    entries = {name: _entry(path, name, fields, start) for name, fields in header.items()}
    _require_covered(path, entries, start, size)
    return SafetensorsFile(path, entries, metadata, stamp)


def _header_length(path: Path, first: bytes, size: int) -> int:
    if first.startswith(b"version "):
        raise CheckpointError(
            f"{path}: this is a Git LFS pointer, not the weights: run `git lfs pull` in that repository"
        )
    if len(first) < LENGTH_BYTES:
        raise CheckpointError(
            f"{path}: truncated: expected at least {LENGTH_BYTES} bytes, the file has {size}: copy it again"
        )
    length = int.from_bytes(first, "little")
    if length > LARGEST_HEADER:
        raise _broken(path, f"its header would be {length} bytes long")
    if LENGTH_BYTES + length > size:
        raise CheckpointError(
            f"{path}: truncated inside the header: expected at least {LENGTH_BYTES + length} bytes, the file has "
            f"{size}: copy or download it again"
        )
    return length


def _parse(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw, object_pairs_hook=unique_keys)
    except RepeatedKeyError as error:
        raise _broken(path, f"{str(error)[:200]!r} is twice in its header") from error
    except (ValueError, RecursionError) as error:
        raise _broken(path, "its header is not JSON") from error
    if not isinstance(header, dict):
        raise _broken(path, f"its header is a JSON {type(header).__name__}, not an object")
    return header


def _entry(path: Path, name: str, fields: Any, start: int) -> Entry:
    try:
        code, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
        sound = all(type(number) is int and 0 <= number < LARGEST_NUMBER for number in (*shape, begin, end))
        sound = sound and isinstance(code, str)
        sound = sound and len(name) <= LONGEST_NAME
        name.encode()  # half a surrogate pair can neither be written nor shown
    except (TypeError, KeyError, ValueError):
        code, sound = "", False
    if not sound:
        raise _broken(path, f"the entry of {name[:200]!r} lacks a dtype, shape or offsets, or its name is too long")
    if code not in DTYPES:
        raise CheckpointError(
            f"{path}: {name!r} has the dtype {code[:40]!r}, which cannot be read: load the model elsewhere and save "
            "it in a floating-point dtype such as bfloat16"
        )
    if not can_be_counted(shape):
        raise _broken(path, f"{name!r} has {len(shape)} dimensions with more elements than can be counted")
    entry = Entry(TensorSpec(shape, DTYPES[code]), start + begin)
    if entry.nbytes != end - begin:
        raise _broken(
            path,
            f"{name!r} has {prod(shape)} elements of {code}, {entry.nbytes} bytes, but {end - begin} are reserved",
        )
    return entry


def _require_covered(path: Path, entries: dict[str, Entry], start: int, size: int) -> None:
    reached = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].nbytes)):
        if entry.start != reached:
            raise _broken(path, f"{name!r} starts at byte {entry.start}, expected {reached} (a hole or an overlap)")
        reached += entry.nbytes
    if reached > size:
        raise CheckpointError(
            f"{path}: truncated: expected {reached} bytes, the file has {size}: copy or download it again"
        )
    if reached < size:
        raise _broken(path, f"expected {reached} bytes, the file has {size}")


def _broken(path: Path, why: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: not a sound safetensors file: {why}. Check that it is one, and copy or download it again"
    )
