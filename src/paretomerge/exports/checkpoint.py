"""Exporting a chosen point as a checkpoint that loads like the base it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from torch import Tensor

from paretomerge.checkpoints import Checkpoint, write_checkpoint
from paretomerge.exports.card import ModelCard, base_name, render_card
from paretomerge.types import FrontPoint, Params

CARD_FILE = "README.md"


def export_checkpoint(
    directory: str | os.PathLike[str],
    merged: Params | Iterable[tuple[str, Tensor]],
    *,
    base: Checkpoint,
    card: ModelCard,
    point: FrontPoint | None = None,
    max_shard_bytes: int = 5_000_000_000,
    overwrite: bool = False,
) -> Path:
    """Write a merged model with the layout, dtypes and side files of its base.

    Beside the weights it holds a copy of the base's side files (configuration, tokenizer), a model card
    `README.md`, and the manifest `paretomerge.json` with method, weights, scores and digests of the inputs.
    Tensors that cannot be merged (counters, masks) are copied from the base if `merged` lacks them.

    Args:
        directory: the folder to make.
        merged: the merged parameters, or pairs `(name, tensor)` as a merge gives them block by block.
        base: the checkpoint whose names, shapes, dtypes and side files the result has.
        card: method, settings and names for the model card.
        point: the point of the front that was chosen: weights, scores, standard deviations, origin.
        max_shard_bytes: largest size of one weight file.
        overwrite: replace a checkpoint of that name.

    Returns:
        The folder.

    Raises:
        CheckpointError: the target is not empty, or the merged tensors do not fit the base.
        StorageError: the disk refused; nothing half-written is left.
    """
    return write_checkpoint(
        directory,
        {name: base.spec(name) for name in base},
        _completed(merged, base),
        side_files=base.side_files,
        texts={CARD_FILE: render_card(card, base, point)},
        manifest=_manifest(card, base, point),
        max_shard_bytes=max_shard_bytes,
        overwrite=overwrite,
    )


def _completed(merged: Params | Iterable[tuple[str, Tensor]], base: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """The merged blocks, then the base's tensors that no merge touches."""
    blocks = ((name, merged[name]) for name in merged) if isinstance(merged, Mapping) else iter(merged)
    given = set()
    for name, tensor in blocks:
        given.add(name)
        yield name, tensor
    for name in base:
        if name not in given and not base.spec(name).is_mergeable:
            yield name, base[name]


def _manifest(card: ModelCard, base: Checkpoint, point: FrontPoint | None) -> dict[str, object]:
    content: dict[str, object] = {
        "kind": "merged checkpoint",
        "method": {"name": card.method, "settings": dict(card.settings)},
        "base": {"name": base_name(card, base), "digest": card.digests.get("base") or base.digest},
        "finetunes": {
            task: {"name": card.finetunes.get(task, ""), "digest": card.digests.get(task, "")}
            for task in dict.fromkeys([*card.finetunes, *card.digests])
            if task != "base"
        },
    }
    if point is not None:
        content["point"] = {
            "id": point.id,
            "weights": dict(point.weights),
            "values": dict(point.values),
            "stdev": dict(point.stdev),
            "origin": point.origin,
        }
    return content
