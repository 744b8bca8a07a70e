"""Small models with a tokenizer, whose embedding rows say which token they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import Checkpoint, open_checkpoint, write_params

VALUES = {token: float(number) for number, token in enumerate("abcdefghij", start=1)}


def rows(tokens: Sequence[str | None], shift: float = 0.0, width: int = 3) -> Tensor:
    """One row per token, all entries its value; padding (`None`) is negative."""
    values = [-(place + 1.0) if token is None else VALUES[token] + shift for place, token in enumerate(tokens)]
    return torch.tensor(values)[:, None].expand(-1, width).clone()


def make_model(
    folder: Path,
    tokens: Sequence[str | None],
    shift: float = 0.0,
    tokenizer: str | None = "tokenizer.json",
    head: bool = True,
    more: Mapping[str, Tensor] | None = None,
) -> Checkpoint:
    """A checkpoint folder: embedding, output layer with bias, one matrix of the trunk, config and tokenizer."""
    params = {"embed_tokens.weight": rows(tokens, shift), "trunk.weight": torch.ones(4, 4) + shift}
    if head:
        params |= {"lm_head.weight": rows(tokens, shift + 100), "lm_head.bias": rows(tokens, shift)[:, 0].clone()}
    folder.mkdir(parents=True)
    known = {token: row for row, token in enumerate(tokens) if token is not None}
    files = [_write(folder / "config.json", {"vocab_size": len(tokens), "text_config": {"vocab_size": len(tokens)}})]
    if tokenizer == "tokenizer.json":
        content = {"model": {"type": "BPE", "vocab": known}, "added_tokens": []}
        files += [
            _write(folder / "tokenizer.json", content),
            _write(folder / "tokenizer_config.json", {"of": folder.name}),
        ]
    elif tokenizer == "vocab.json":
        files += [_write(folder / "vocab.json", known)]
    side = [file.rename(folder.parent / f"{folder.name}-{file.name}") for file in files]
    folder.rmdir()
    made = write_params(folder, params | dict(more or {}))
    for file in side:
        file.rename(made / file.name.removeprefix(f"{folder.name}-"))
    return open_checkpoint(made)


def _write(file: Path, content: object) -> Path:
    file.write_text(json.dumps(content))
    return file
