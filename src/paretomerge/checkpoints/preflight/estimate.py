"""How large a merge is before it starts: bytes, memory, time, and room on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from paretomerge.checkpoints.atomic import free_bytes
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.types import TensorSpec

FIXED_MEMORY = 300_000_000
"""Bytes of the interpreter, of PyTorch and of what does not grow with the models."""

LONGEST_MEASUREMENT = 0.25  # seconds of reading that tell how fast the files are read


@dataclass(frozen=True)
class Estimate:
    """What a merge that reads and writes tensor by tensor will take.

    Args:
        parameters: of one merged model.
        bytes_to_read: values of all inputs; what is read for several names counts once.
        bytes_to_write: values of all merged models, and of the tensors kept per task.
        largest_tensor: its name.
        memory: bytes, an upper bound: `(inputs of a tensor + K + 2)` times the largest tensor in float32, plus
            `FIXED_MEMORY`; the inputs are the base and the finetunes, and `K` the merged models.
        bytes_per_second: measured on these files; `None` if that was not asked for.
        seconds: `(bytes_to_read + bytes_to_write) / bytes_per_second`, of the order of the real time. A disk that
            writes more slowly than it reads takes longer.
        free_disk: bytes that are free where the merged models go.
    """

    parameters: int
    bytes_to_read: int
    bytes_to_write: int
    largest_tensor: str
    memory: int
    bytes_per_second: float | None
    seconds: float | None
    free_disk: int

    @property
    def fits_on_disk(self) -> bool:
        """Whether there is room for what is written."""
        return self.bytes_to_write <= self.free_disk

    def at(self, bytes_per_second: float | None) -> Estimate:
        """The same sizes at another speed."""
        seconds = (self.bytes_to_read + self.bytes_to_write) / bytes_per_second if bytes_per_second else None
        return replace(self, bytes_per_second=bytes_per_second, seconds=seconds)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self) | {"fits_on_disk": self.fits_on_disk}


def estimate_merge(
    base: Checkpoint,
    finetunes: Mapping[str, Checkpoint],
    *,
    private: Mapping[str, Checkpoint] | None = None,
    models: int = 1,
    dtype: torch.dtype | None = None,
    inputs_per_finetune: int = 1,
    target: Path | None = None,
    bytes_per_second: float | None = None,
) -> Estimate:
    """Bytes, memory and time of a merge; only specs are read.

    Args:
        base: the base, after its repairs.
        finetunes: task → finetune, after its repairs.
        private: task → tensors that are copied for it alone.
        models: `K`, how many merged models are written.
        dtype: of the merged floating-point tensors; the base's when `None`.
        inputs_per_finetune: 2 where each finetune brings a precision of the same size (a diagonal posterior).
        target: where the merged models go; the working directory when `None`.
        bytes_per_second: how fast values are read and combined, see `measure_reading`.
    """
    specs = {name: base.spec(name) for name in base}
    largest = max(specs, key=lambda name: specs[name].numel)
    inputs = 1 + len(finetunes) * inputs_per_finetune
    one_model = sum(_written(spec, dtype).nbytes for spec in specs.values())
    aside = list((private or {}).values())
    kept = sum(own.spec(name).nbytes for own in aside for name in own)
    # a precision is as large as the finetune it belongs to
    to_read = _unique_bytes([base, *finetunes.values(), *aside])
    to_read += (inputs_per_finetune - 1) * _unique_bytes(finetunes.values())
    to_write = models * one_model + kept
    sizes = Estimate(
        sum(spec.numel for spec in specs.values()),
        to_read,
        to_write,
        largest,
        merge_memory(inputs, models, specs[largest].numel),
        None,
        None,
        free_bytes(target or Path.cwd()),
    )
    return sizes.at(bytes_per_second)


def merge_memory(inputs: int, models: int, largest: int) -> int:
    """Bytes that a merge from disk to disk takes at most, `(inputs + K + 2)` times the largest tensor in float32.

    Args:
        inputs: the base and the finetunes, and their precisions.
        models: `K`, how many merged models are written.
        largest: elements of the largest tensor.
    """
    return (inputs + models + 2) * 4 * largest + FIXED_MEMORY


def measure_reading(checkpoints: Iterable[Checkpoint], longest: float = LONGEST_MEASUREMENT) -> float | None:
    """Bytes per second at which these checkpoints are read, from the first `longest` seconds; `None` if nothing was.

    Files that were read before may still be in memory, and are then read faster than the disk could.
    """
    done, started = 0, time.perf_counter()
    buffer = torch.empty(0, dtype=torch.uint8)
    for checkpoint in checkpoints:
        for name in checkpoint:
            spec = checkpoint.spec(name)
            if spec.nbytes > len(buffer):
                buffer = torch.empty(spec.nbytes, dtype=torch.uint8)
            checkpoint.read(name, buffer)
            done += spec.nbytes
            if time.perf_counter() - started > longest:
                return done / (time.perf_counter() - started)
    return done / max(time.perf_counter() - started, 1e-9) if done else None


def _written(spec: TensorSpec, dtype: torch.dtype | None) -> TensorSpec:
    return spec if dtype is None or not spec.is_mergeable else TensorSpec(spec.shape, dtype)


def _unique_bytes(checkpoints: Iterable[Checkpoint]) -> int:
    """Bytes of the values; a tensor that is seen under two names or in two views counts once."""
    seen: dict[tuple[int, str], int] = {}
    for checkpoint in checkpoints:
        for name in checkpoint:
            holder, inner = checkpoint.locate(name)
            seen[id(holder), inner] = checkpoint.spec(name).nbytes
    return sum(seen.values())
