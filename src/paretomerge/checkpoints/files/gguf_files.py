"""Reading one `.gguf` file in F32, F16 or BF16 tensor by tensor.

The values are stored without compression, so a tensor is a range of bytes. Files with quantised tensors are
refused: their numbers are codes, which cannot be averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.files.byte_ranges import Stamp, read_range, require_unchanged, stamp_of
from paretomerge.checkpoints.files.gguf_header import GgufHeader, broken_gguf
from paretomerge.checkpoints.files.gguf_names import Mapped, map_names, restore_rows
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec

DTYPES = {0: torch.float32, 1: torch.float16, 30: torch.bfloat16, 28: torch.float64}
DTYPES |= {24: torch.int8, 25: torch.int16, 26: torch.int32, 27: torch.int64}
QUANTISED = {
    **{2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K"},
    **{13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL"},
    **{21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4"},
}


@dataclass(frozen=True)
class GgufFile:
    """One `.gguf` file: only its header is in memory. Make it with `open_gguf`.

    Fields:
        path, stamp: the file, and what it had when it was opened.
        specs: name in the file to shape and dtype.
        starts: name in the file to its first byte, counted from the start of the file.
        mapped: name given out to the name in the file and its permutation.
        metadata: the scalar entries of the header.
    """

    path: Path
    stamp: Stamp
    specs: dict[str, TensorSpec]
    starts: dict[str, int]
    mapped: dict[str, Mapped]
    metadata: dict[str, object]

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the file."""
        return tuple(self.mapped)

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor, from the header."""
        return self.specs[self.mapped[name].name]

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """Read one tensor into `buffer` (uint8), or into fresh memory, with its rows in Hugging Face's order.

        Raises:
            StorageError: the disk refused, or the file was replaced since it was opened.
        """
        spec, mapped = self.spec(name), self.mapped[name]
        raw = read_range(self.path, self.stamp, self.starts[mapped.name], spec.nbytes, buffer, name)
        values = raw.view(spec.dtype).reshape(spec.shape)
        if not mapped.heads:
            return values
        restored = restore_rows(values, mapped.heads)
        return restored if buffer is None else values.copy_(restored)

    def locate(self, name: str) -> tuple[GgufFile, str]:
        """Itself."""
        return self, name

    def require_unchanged(self) -> None:
        """Raise `StorageError` if the file was replaced or written to since it was opened."""
        require_unchanged(self.path, self.stamp)


def open_gguf(path: Path) -> GgufFile:
    """Read and check the header of `path`; no values are read.

    Names are those of Hugging Face for llama, mistral, qwen2 and qwen3, else those of the file (see `gguf_names`).

    Raises:
        CheckpointError: not a GGUF file, truncated, quantised, or one part of several.
        StorageError: the disk refused to read.
    """
    with storage_errors(path, "read"), path.open("rb") as handle:
        header = GgufHeader(path, handle)
        metadata = header.entries()
        tensors = header.tensors()
        begin = header.data_start(metadata)
        stamp = stamp_of(handle)
    if metadata.get("split.count", 1) not in (0, 1):
        raise CheckpointError(
            f"{path}: one part of {metadata['split.count']}: join them first, with  "
            "llama-gguf-split --merge first.gguf whole.gguf"
        )
    _require_plain(path, tensors)
    specs, starts = {}, {}
    for name, (shape, kind, offset) in tensors.items():
        specs[name] = TensorSpec(shape, DTYPES[kind])
        starts[name] = begin + offset
        end = starts[name] + specs[name].nbytes
        if end > stamp[2]:
            raise CheckpointError(
                f"{path}: truncated: {name!r} ends at byte {end}, the file has {stamp[2]}: copy or download it again"
            )
    if not specs:
        raise CheckpointError(f"{path}: holds no tensors")
    _require_apart(path, specs, starts)
    mapped = map_names(specs, metadata)
    _require_heads(path, mapped, specs)
    return GgufFile(path, stamp, specs, starts, mapped, metadata)


def _require_plain(path: Path, tensors: Mapping[str, tuple[tuple[int, ...], int, int]]) -> None:
    kinds = Counter(kind for _, kind, _ in tensors.values() if kind not in DTYPES)
    if kinds:
        seen = ", ".join(f"{QUANTISED.get(kind, f'type {kind}')} ({count})" for kind, count in kinds.most_common())
        raise CheckpointError(
            f"{path}: {kinds.total()} of {len(tensors)} tensors are quantised, as {seen}: their numbers are codes, "
            "which cannot be averaged. Give the model in F16 or BF16 (llama.cpp: convert_hf_to_gguf.py --outtype "
            "bf16), or bring the values back once:  "
            "AutoModelForCausalLM.from_pretrained(folder, gguf_file=name).save_pretrained(new_folder)"
        )


def _require_apart(path: Path, specs: Mapping[str, TensorSpec], starts: Mapping[str, int]) -> None:
    """Tensors that share bytes would make much out of a small file."""
    reached = 0
    for name in sorted(specs, key=lambda name: (starts[name], specs[name].nbytes)):
        if starts[name] < reached and specs[name].nbytes:
            raise broken_gguf(path, f"{name!r} starts at byte {starts[name]}, inside of another tensor")
        reached = max(reached, starts[name] + specs[name].nbytes)


def _require_heads(path: Path, mapped: Mapping[str, Mapped], specs: Mapping[str, TensorSpec]) -> None:
    for name, part in mapped.items():
        rows = specs[part.name].shape[0] if specs[part.name].shape else 0
        if part.heads and (part.heads < 0 or rows == 0 or rows % (2 * part.heads)):
            raise broken_gguf(path, f"{name!r} has {rows} rows, which {part.heads} heads cannot share")
