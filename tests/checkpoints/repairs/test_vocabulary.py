from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints.repairs.vocabulary import embedding_rows, has_token_rows, read_vocabulary
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec


def write(folder: Path, **files: object) -> list[Path]:
    made = []
    for name, content in files.items():
        file = folder / name.replace("_DOT_", ".")
        file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        made.append(file)
    return made


def test_a_tokenizer_has_its_vocabulary_and_added_tokens(tmp_path: Path) -> None:
    content = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"id": 5, "content": "<x>"}]}
    files = write(tmp_path, tokenizer_DOT_json=content, vocab_DOT_txt="other\n")
    found = read_vocabulary(files)
    assert found is not None
    assert found.rows == {"a": 0, "b": 1, "<x>": 5}
    assert found.needed == 6
    assert found.file.name == "tokenizer.json"


def test_a_unigram_vocabulary_is_a_list_in_the_order_of_the_rows(tmp_path: Path) -> None:
    content = {"model": {"type": "Unigram", "vocab": [["<pad>", 0.0], ["▁the", -3.1]]}}
    found = read_vocabulary(write(tmp_path, tokenizer_DOT_json=content))
    assert found is not None
    assert found.rows == {"<pad>": 0, "▁the": 1}


@pytest.mark.parametrize(
    "files",
    [
        {"vocab_DOT_json": {"a": 0, "b": 1}},
        {"vocab_DOT_txt": "a\nb\n"},
        {"vocab_DOT_txt": "a\nb"},
        {"vocab_DOT_txt": "a\r\nb\r\n"},
        {"tokenizer_DOT_json": {"version": "1.0"}, "vocab_DOT_txt": "a\nb"},
    ],
)
def test_older_files_are_read_too(tmp_path: Path, files: dict[str, object]) -> None:
    added = {"added_tokens_DOT_json": {"<x>": 2}}
    found, more = (read_vocabulary(write(tmp_path, **given)) for given in (files, files | added))
    assert found is not None
    assert more is not None
    assert found.rows == {"a": 0, "b": 1}
    assert more.rows == {"a": 0, "b": 1, "<x>": 2}
    assert more.contains(found)
    assert not found.contains(more)


def test_a_token_may_hold_what_ends_a_line_in_unicode(tmp_path: Path) -> None:
    found = read_vocabulary(write(tmp_path, vocab_DOT_txt="a\n\u2028\n\x85\nb\n"))
    assert found is not None
    assert found.rows == {"a": 0, "\u2028": 1, "\x85": 2, "b": 3}


def test_without_files_there_is_none(tmp_path: Path) -> None:
    assert read_vocabulary([]) is None
    assert read_vocabulary(write(tmp_path, tokenizer_DOT_json={"version": "1.0"}, config_DOT_json={})) is None


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"tokenizer_DOT_json": "{"}, "it is not JSON"),
        ({"tokenizer_DOT_json": [1]}, "not a JSON object"),
        ({"tokenizer_DOT_json": {"model": {"vocab": [1, 2]}}}, "not a list of tokens with scores"),
        ({"tokenizer_DOT_json": {"model": {"vocab": {"a": "0"}}}}, "not a mapping of tokens to rows"),
        ({"tokenizer_DOT_json": {"added_tokens": [{"id": 3}]}}, "lacks its content or id"),
        ({"vocab_DOT_json": {"a": -1}}, "not a mapping of tokens to rows"),
        ({"vocab_DOT_json": {"a": True}}, "not a mapping of tokens to rows"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path: Path, files: dict[str, object], reason: str) -> None:
    with pytest.raises(CheckpointError, match=r"(tokenizer|vocab)\.json: the vocabulary cannot be read: ") as caught:
        read_vocabulary(write(tmp_path, **files))
    assert reason in str(caught.value)
    assert "Copy the tokenizer's files again" in str(caught.value)


def test_a_vocabulary_that_is_not_text_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_vocabulary([tmp_path / "vocab.txt"])


@pytest.mark.parametrize(
    "name", ["embed_tokens.weight", "model.embed_tokens.weight", "bert.embeddings.word_embeddings.weight", "wte.weight"]
)
def test_the_token_embedding_is_found_by_its_name(name: str) -> None:
    params = {
        "position_embeddings.weight": torch.zeros(9, 2),
        "xwte.weight": torch.zeros(8, 2),
        name: torch.zeros(5, 2),
    }
    assert embedding_rows(params) == 5


def test_a_vector_is_no_embedding() -> None:
    assert embedding_rows({"embed.weight": torch.zeros(5)}) is None
    assert embedding_rows({"conv.weight": torch.zeros(5, 2)}) is None


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("lm_head.weight", (5, 2), True),
        ("lm_head.bias", (5,), True),
        ("cls.predictions.bias", (5,), True),
        ("cls.predictions.decoder.weight", (5, 2), True),
        ("lm_head.weight", (4, 2), False),
        ("classifier.weight", (5, 2), False),
        ("decoder.layer.weight", (5, 2), False),
        ("lm_head.weight", (), False),
    ],
)
def test_rows_are_tokens_where_name_and_number_agree(name: str, shape: tuple[int, ...], expected: bool) -> None:
    assert has_token_rows(name, TensorSpec(shape, torch.float32), 5) is expected
    assert not has_token_rows(name, TensorSpec(shape, torch.float32), None)
