"""Planning `.safetensors` files before any value is known: names, headers and offsets from the specs alone.

Inside a file the tensors lie by falling element size, so that each starts at a multiple of its own element
size (readers map the file and need that); which file a tensor is in follows the order of the specs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from paretomerge.checkpoints.files.safetensors_files import DTYPE_CODES, LENGTH_BYTES
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Shard:
    """One file to be written: its name, its first bytes, and where each tensor begins."""

    file: str
    header: bytes
    starts: Mapping[str, int]
    nbytes: int


def plan_shards(
    specs: Mapping[str, TensorSpec], metadata: Mapping[str, str], max_shard_bytes: int
) -> tuple[Shard, ...]:
    """Cut `specs` into files of at most `max_shard_bytes` (a single larger tensor has a file of its own).

    Raises:
        CheckpointError: no specs, a reserved name, or a dtype that the format does not know.
    """
    require_writable(specs)
    if max_shard_bytes < 1:
        raise CheckpointError(f"max_shard_bytes is {max_shard_bytes}: it must be at least 1")
    groups: list[dict[str, TensorSpec]] = [{}]
    filled = 0
    for name, spec in specs.items():
        if groups[-1] and filled + spec.nbytes > max_shard_bytes:
            groups.append({})
            filled = 0
        groups[-1][name] = spec
        filled += spec.nbytes
    if len(groups) == 1:
        return (plan_file(WHOLE, groups[0], metadata),)
    return tuple(
        plan_file(f"model-{number:05d}-of-{len(groups):05d}.safetensors", group, metadata)
        for number, group in enumerate(groups, start=1)
    )


def plan_file(file: str, specs: Mapping[str, TensorSpec], metadata: Mapping[str, str]) -> Shard:
    """Header and offsets of one file."""
    begins, reached = {}, 0
    for name, spec in sorted(specs.items(), key=lambda item: -item[1].dtype.itemsize):
        begins[name] = reached
        reached += spec.nbytes
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, spec in specs.items():  # the header keeps the order of the specs, whatever the offsets
        header[name] = {
            "dtype": DTYPE_CODES[spec.dtype],
            "shape": list(spec.shape),
            "data_offsets": [begins[name], begins[name] + spec.nbytes],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = LENGTH_BYTES + len(text)
    starts = {name: start + begin for name, begin in begins.items()}
    return Shard(file, len(text).to_bytes(LENGTH_BYTES, "little") + text, starts, start + reached)


def index_of(shards: tuple[Shard, ...], specs: Mapping[str, TensorSpec]) -> dict[str, object]:
    """The content of `model.safetensors.index.json`."""
    return {
        "metadata": {"total_size": sum(spec.nbytes for spec in specs.values())},
        "weight_map": {name: shard.file for shard in shards for name in specs if name in shard.starts},
    }


def require_writable(specs: Mapping[str, TensorSpec]) -> None:
    """Raise `CheckpointError` for no tensors, a reserved name, or a dtype that the format does not know."""
    if not specs:
        raise CheckpointError("nothing to write: the checkpoint has no tensors")
    for name, spec in specs.items():
        if name == "__metadata__":
            raise CheckpointError("a tensor cannot be called '__metadata__': safetensors reserves that name")
        if spec.dtype not in DTYPE_CODES:
            raise CheckpointError(f"{name!r} has the dtype {spec.dtype}, which safetensors cannot hold: convert it")
