"""The header of a `.gguf` file, read from front to back.

The format (versions 2 and 3, little-endian): `GGUF`, the version, the numbers of tensors and of entries; the
entries (key, type, value); for each tensor its name, dimensions (innermost first), type and offset; then the
data, which starts at a multiple of `general.alignment`.
Reference: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

It is parsed here, not by the package `gguf`: that one makes numpy arrays for every token of the vocabulary
(seconds for 100 000 tokens, of which nothing is needed), and reports a truncated file as an `IndexError`
somewhere inside.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

from paretomerge.checkpoints.files.byte_ranges import stamp_of
from paretomerge.checkpoints.files.shapes import can_be_counted
from paretomerge.errors import CheckpointError

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TEXT, ARRAY = 8, 9
VERSIONS = (2, 3)
LONGEST_TEXT = 100_000_000
MOST_DIMENSIONS = 8
DEEPEST = 8  # arrays of arrays


class GgufHeader:
    """The header of an open file: make it, then take `entries`, `tensors` and the start of the data, in this order.

    Raises:
        CheckpointError: not a GGUF file, of another version, truncated, or a header that contradicts itself.
    """

    def __init__(self, path: Path, handle: IO[bytes]) -> None:
        """Read the first fields."""
        self._path = path
        self._handle = handle
        if self._take(4) != b"GGUF":
            raise CheckpointError(f"{path}: not a GGUF file: check what it is, and copy or download it again")
        (version,) = self._unpack("I")
        if version not in VERSIONS:
            big_endian = int(version).to_bytes(4, "little")[3] in VERSIONS
            why = "is big-endian" if big_endian else f"has version {version}, known are 2 and 3"
            raise CheckpointError(f"{path}: this GGUF file {why}: convert the original model again")
        self._tensor_count, self._entry_count = self._unpack("QQ")

    def entries(self) -> dict[str, object]:
        """Key to value; arrays (the vocabulary) are passed over."""
        found = {}
        for _ in range(self._entry_count):
            key = self._text()
            (kind,) = self._unpack("I")
            value = self._value(kind)
            if value is not None:
                found[key] = value
        return found

    def tensors(self) -> dict[str, tuple[tuple[int, ...], int, int]]:
        """Name to shape (outermost first), type and offset."""
        found = {}
        for _ in range(self._tensor_count):
            name = self._text()
            (dimensions,) = self._unpack("I")
            if dimensions > MOST_DIMENSIONS or name in found:
                raise broken_gguf(self._path, f"the entry of {name!r} has {dimensions} dimensions, or is there twice")
            shape = self._unpack(f"{dimensions}Q")[::-1]
            if not can_be_counted(shape):
                raise broken_gguf(self._path, f"{name!r} has more elements than can be counted")
            kind, offset = self._unpack("IQ")
            found[name] = (shape, kind, offset)
        return found

    def data_start(self, entries: dict[str, object]) -> int:
        """The first byte of the data, counted from the start of the file."""
        alignment = entries.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise broken_gguf(self._path, f"its alignment is {alignment}")
        reached = self._handle.tell()
        return reached + -reached % alignment

    def _value(self, kind: int, depth: int = 0) -> object:
        if kind in SCALARS:
            return self._unpack(SCALARS[kind])[0]
        if kind == TEXT:
            return self._text()
        if kind != ARRAY:
            raise broken_gguf(self._path, f"an entry has the unknown type {kind}")
        if depth == DEEPEST:
            raise broken_gguf(self._path, f"an entry has arrays in arrays, more than {DEEPEST} deep")
        inner, count = self._unpack("IQ")
        if inner in SCALARS:
            self._skip(count * struct.calcsize("<" + SCALARS[inner]))
            return None
        step: Callable[[], object] = self._pass_text if inner == TEXT else lambda: self._value(inner, depth + 1)
        for _ in range(count):
            step()
        return None

    def _text(self) -> str:
        try:
            return self._take(self._length()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise broken_gguf(self._path, "a name is not UTF-8") from error

    def _pass_text(self) -> None:
        self._skip(self._length())

    def _length(self) -> int:
        (length,) = self._unpack("Q")
        if length > LONGEST_TEXT:
            raise broken_gguf(self._path, f"a text would be {length} bytes long")
        return length

    def _unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))

    def _take(self, count: int) -> bytes:
        if count > stamp_of(self._handle)[2]:
            raise self._truncated()  # before memory is taken for it
        taken = self._handle.read(count)
        if len(taken) < count:
            raise self._truncated()
        return taken

    def _skip(self, count: int) -> None:
        if count > stamp_of(self._handle)[2]:
            raise self._truncated()
        self._handle.seek(count, 1)

    def _truncated(self) -> CheckpointError:
        size = stamp_of(self._handle)[2]
        return CheckpointError(
            f"{self._path}: truncated inside the header, the file has {size} bytes: copy or download it again"
        )


def broken_gguf(path: Path, why: str) -> CheckpointError:
    """The error for a file that contradicts itself."""
    return CheckpointError(f"{path}: not a sound GGUF file: {why}. Copy or download it again")
