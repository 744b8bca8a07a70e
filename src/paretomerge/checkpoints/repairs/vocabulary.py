"""Which row of an embedding belongs to which token, read from the tokenizer files beside the weights."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import CheckpointError
from paretomerge.types import Params, TensorSpec, spec_of

TOKENIZER_FILES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "special_tokens_map.json",
        "spiece.model",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)

_EMBEDDING = re.compile(
    r"(^|\.)(embed_tokens|word_embeddings?|wte|tok_embeddings|tokens_embed|token_embedding|embed_in|shared|embed)\.weight$"
)
_OUTPUT = re.compile(
    r"(^|\.)(lm_head|decoder|embed_out|output_projection|output|predictions|vocab_projector)\.(weight|bias)$"
)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Token → row of the embedding, and the file that says so."""

    rows: Mapping[str, int]
    file: Path

    @property
    def needed(self) -> int:
        """How many rows an embedding must have for it."""
        return max(self.rows.values()) + 1

    def contains(self, other: Vocabulary) -> bool:
        """Whether every token of `other` is one of these, in whatever row."""
        return self.rows.keys() >= other.rows.keys()


def read_vocabulary(files: Iterable[Path]) -> Vocabulary | None:
    """The vocabulary of a tokenizer; `None` if no file holds one that can be read.

    Read are `tokenizer.json` (`model.vocab`, a mapping or the list of a unigram model, and `added_tokens`), else
    `vocab.json` or `vocab.txt` with `added_tokens.json`. The binary files of SentencePiece are not read.

    Raises:
        CheckpointError: a file that is not what its name says.
        StorageError: the disk refused to read.
    """
    named = {file.name: file for file in files}
    if "tokenizer.json" in named:
        file = named["tokenizer.json"]
        rows = _from_tokenizer(_read_json(file), file)
        if rows:
            return Vocabulary(rows, file)
    for name in ("vocab.json", "vocab.txt"):
        if name in named:
            file = named[name]
            rows = _checked(_read_json(file), file) if name == "vocab.json" else _from_lines(file)
            if "added_tokens.json" in named:
                added = named["added_tokens.json"]
                rows = rows | _checked(_read_json(added), added)
            if rows:
                return Vocabulary(rows, file)
    return None


def embedding_rows(params: Params) -> int | None:
    """Rows of the token embedding; `None` if no tensor has one of its usual names."""
    for name in params:
        if _EMBEDDING.search(name):
            shape = spec_of(params, name).shape
            if len(shape) == 2:
                return shape[0]
    return None


def has_token_rows(name: str, spec: TensorSpec, rows: int | None) -> bool:
    """Whether the rows of a tensor are tokens: the name of an embedding or output layer, and as many rows."""
    return bool(spec.shape) and spec.shape[0] == rows and bool(_EMBEDDING.search(name) or _OUTPUT.search(name))


def _from_tokenizer(content: Any, file: Path) -> dict[str, int]:
    if not isinstance(content, dict):
        raise _broken(file, "it is not a JSON object")
    model = content.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    rows: dict[str, int] = {}
    if isinstance(vocabulary, list):  # of a unigram model: pairs of a token and its score, in the order of the rows
        try:
            rows = {token: row for row, (token, _) in enumerate(vocabulary)}
        except (TypeError, ValueError) as error:
            raise _broken(file, "its vocabulary is not a list of tokens with scores") from error
    elif vocabulary is not None:
        rows = _checked(vocabulary, file)
    added = content.get("added_tokens") or []
    try:
        return rows | _checked({entry["content"]: entry["id"] for entry in added}, file)
    except (TypeError, KeyError) as error:
        raise _broken(file, "an added token lacks its content or id") from error


def _from_lines(file: Path) -> dict[str, int]:
    with storage_errors(file, "read"):
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise _broken(file, "it is not UTF-8") from error
    # not splitlines(): tokens may hold the other characters that end a line in Unicode
    lines = text.split("\n")
    return {token: row for row, token in enumerate(lines[:-1] if lines[-1] == "" else lines)}


def _checked(rows: Any, file: Path) -> dict[str, int]:
    if not isinstance(rows, dict) or not all(
        isinstance(row, int) and not isinstance(row, bool) and row >= 0 for row in rows.values()
    ):
        raise _broken(file, "its vocabulary is not a mapping of tokens to rows")
    return rows


def _read_json(file: Path) -> Any:
    with storage_errors(file, "read"):
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise _broken(file, f"it is not JSON ({error})") from error


def _broken(file: Path, why: str) -> CheckpointError:
    return CheckpointError(f"{file}: the vocabulary cannot be read: {why}. Copy the tokenizer's files again")
