"""The index of a sharded checkpoint: which tensor is in which file of the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import TensorSource
from paretomerge.checkpoints.files.json_keys import RepeatedKeyError, unique_keys
from paretomerge.errors import CheckpointError


def open_shards(index: Path, open_file: Callable[[Path], TensorSource]) -> tuple[TensorSource, ...]:
    """Open every shard that `index` (`*.index.json` of Hugging Face) names.

    Raises:
        CheckpointError: the index is not one, names a file outside its folder or a missing one, or
            disagrees with what a shard holds.
    """
    weight_map = _read_index(index)
    shards = {}
    for shard in dict.fromkeys(weight_map.values()):
        shards[shard] = open_file(_shard_path(index, shard))
    held_names = {shard: set(held.names) for shard, held in shards.items()}
    for name, shard in weight_map.items():
        if name not in held_names[shard]:
            raise CheckpointError(
                f"{index}: says that {name!r} is in {shard}, but it is not: index and shards are from different "
                "saves; copy the whole folder again"
            )
    for shard, held in shards.items():
        stray = [name for name in held.names if weight_map.get(name) != shard]
        if stray:
            raise CheckpointError(
                f"{index.with_name(shard)}: holds {stray[0]!r}, which {index.name} does not place there: index and "
                "shards are from different saves; copy the whole folder again"
            )
    return tuple(shards.values())


def _read_index(index: Path) -> dict[str, str]:
    with storage_errors(index, "read"):
        raw = index.read_bytes()
    try:
        weight_map = json.loads(raw, object_pairs_hook=unique_keys)["weight_map"]
        sound = all(isinstance(shard, str) for shard in weight_map.values())
    except RepeatedKeyError as error:
        raise CheckpointError(f"{index}: {str(error)[:200]!r} is there twice: download it again") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        sound = False
    if not sound:
        raise CheckpointError(
            f"{index}: not an index: expected JSON with 'weight_map', tensor names to file names; download it again"
        )
    if not weight_map:
        raise CheckpointError(f"{index}: its 'weight_map' is empty: the checkpoint has no tensors")
    return weight_map


def _shard_path(index: Path, shard: str) -> Path:
    if not shard or shard in (".", "..") or any(mark in shard for mark in ("/", "\\", ":", "\0")):
        raise CheckpointError(
            f"{index}: names the shard {shard!r}, which may leave the folder: a shard is a plain file name. "
            "Do not use this checkpoint unless you know who made it"
        )
    path = index.with_name(shard)
    if not path.is_file():
        there = sorted(file.name for file in index.parent.iterdir() if file.suffix == path.suffix)
        raise CheckpointError(
            f"{index}: names the shard {shard!r}, which is missing. Of this kind the folder holds "
            f"{', '.join(there) or 'nothing'}: copy or download the missing file"
        )
    return path
