"""Exporting a chosen point as a checkpoint that loads like the base it came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import Checkpoint, write_checkpoint
from paretomerge.exports.card import ModelCard, base_name, render_card
from paretomerge.exports.loading import config_with_dtype, read_config
from paretomerge.types import FrontPoint, Params, TensorSpec

CARD_FILE = "README.md"
CONFIG_FILE = "config.json"


def export_checkpoint(
    directory: str | os.PathLike[str],
    merged: Params | Iterable[tuple[str, Tensor]],
    *,
    base: Checkpoint,
    card: ModelCard,
    point: FrontPoint | None = None,
    dtype: torch.dtype | None = None,
    side_files: Sequence[Path] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    overwrite: bool = False,
) -> Path:
    """Write a merged model with the layout, dtypes and side files of its base.

    Beside the weights it holds a copy of the side files (configuration, tokenizer), a model card `README.md` with the
    front's picture `front.png` where the card has one, and the manifest `paretomerge.json` with method, weights, scores
    and digests of the inputs. Tensors that cannot be merged (counters, masks) are copied from the base if `merged`
    lacks them.

    Args:
        directory: the folder to make.
        merged: the merged parameters, or pairs `(name, tensor)` as a merge gives them block by block.
        base: the checkpoint whose names, shapes and dtypes the result has.
        card: method, settings and names for the model card.
        point: the point of the front that was chosen: weights, scores, standard deviations, origin.
        dtype: of the floating-point tensors, instead of the base's; `config.json` then says so.
        side_files: files to copy instead of the base's side files (see `complete_side_files`).
        max_shard_bytes: largest size of one weight file.
        overwrite: replace a checkpoint of that name.

    Returns:
        The folder.

    Raises:
        CheckpointError: the target is not empty, or the merged tensors do not fit the base.
        StorageError: the disk refused; nothing half-written is left.
    """
    texts, files = texts_and_files(card, base.side_files if side_files is None else side_files, dtype)
    return write_checkpoint(
        directory,
        {name: _in(base.spec(name), dtype) for name in base},
        _completed(merged, base),
        side_files=files,
        texts={**texts, CARD_FILE: render_card(card, base, point, beforehand=_rounding(base, dtype))},
        manifest=manifest_of("merged checkpoint", card, base, point),
        max_shard_bytes=max_shard_bytes,
        overwrite=overwrite,
    )


def blocks_of(merged: Params | Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Pairs of name and tensor, one after the other."""
    return ((name, merged[name]) for name in merged) if isinstance(merged, Mapping) else iter(merged)


def texts_and_files(
    card: ModelCard, side_files: Iterable[Path], dtype: torch.dtype | None = None
) -> tuple[dict[str, str], list[Path]]:
    """What lies beside weights and card: a configuration that says another dtype as text, the rest as files."""
    taken = (CARD_FILE,) if card.picture is None else (CARD_FILE, card.picture.name)
    files = [file for file in side_files if file.name not in taken]
    if card.picture is not None:
        files.append(card.picture)
    config = read_config(files)
    if dtype is None or not config:
        return {}, files
    text = json.dumps(config_with_dtype(config, str(dtype).removeprefix("torch.")), indent=2, ensure_ascii=False) + "\n"
    return {CONFIG_FILE: text}, [file for file in files if file.name != CONFIG_FILE]


def manifest_of(kind: str, card: ModelCard, base: Checkpoint, point: FrontPoint | None) -> dict[str, object]:
    """What `paretomerge.json` says of how a merge was made."""
    content: dict[str, object] = {
        "kind": kind,
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
            "id": point.id if point.id >= 0 else None,  # a weighting that is not on the front
            "weights": dict(point.weights),
            "values": dict(point.values),
            "stdev": dict(point.stdev),
            "origin": point.origin,
        }
    return content


def _completed(merged: Params | Iterable[tuple[str, Tensor]], base: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """The merged blocks, then the base's tensors that no merge touches."""
    given = set()
    for name, tensor in blocks_of(merged):
        given.add(name)
        yield name, tensor
    for name in base:
        if name not in given and not base.spec(name).is_mergeable:
            yield name, base[name]


def _rounding(base: Checkpoint, dtype: torch.dtype | None) -> str:
    """What another dtype does to a model that was scored in the base's; nothing where it is the same."""
    same = all(spec.dtype == dtype for spec in map(base.spec, base) if spec.is_mergeable)
    return "" if dtype is None or same else f"the weights were written as {str(dtype).removeprefix('torch.')}"


def _in(spec: TensorSpec, dtype: torch.dtype | None) -> TensorSpec:
    return TensorSpec(spec.shape, dtype) if dtype is not None and spec.is_mergeable else spec
