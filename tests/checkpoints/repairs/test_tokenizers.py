"""One vocabulary for all models: the base's, or that of the model which knows every token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.checkpoints.vocabularies import VALUES, make_model, rows

from paretomerge.checkpoints import Repairs, align_repaired, apply_repairs
from paretomerge.checkpoints.repairs.tokenizers import change_vocabulary_size
from paretomerge.errors import AlignmentError, CheckpointError

BASE = Repairs(tokenizer="base")
UNION = Repairs(tokenizer="union")
TABLES = ("embed_tokens.weight", "lm_head.weight", "lm_head.bias")


def test_the_bases_vocabulary_cuts_and_permutes_the_finetunes(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcd", None])
    grown = make_model(tmp_path / "grown", [*"abcdef"], 0.1)
    moved = make_model(tmp_path / "moved", ["d", "b", None, "a"], 0.2)
    repaired = apply_repairs(base, {"grown": grown, "moved": moved}, BASE)
    assert align_repaired(repaired).ok
    assert repaired.finetunes["grown"]["embed_tokens.weight"][:, 0].tolist() == pytest.approx([1.1, 2.1, 3.1, 4.1, -5])
    assert repaired.finetunes["moved"]["embed_tokens.weight"][:, 0].tolist() == pytest.approx([1.2, 2.2, 3, 4.2, -5])
    assert repaired.finetunes["moved"]["lm_head.bias"].tolist() == pytest.approx([1.2, 2.2, 3, 4.2, -5])
    assert repaired.finetunes["grown"].spec("lm_head.weight").shape == (5, 3)
    assert torch.equal(repaired.base["embed_tokens.weight"], base["embed_tokens.weight"])
    assert repaired.side_files == base.side_files
    assert repaired.texts == {}
    assert repaired.notes == ()


def test_the_union_takes_the_model_that_knows_every_token(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc", None])
    wide = make_model(tmp_path / "wide", [*"fcabe"], 0.1)
    other = make_model(tmp_path / "other", [*"abce"], 0.3)
    repaired = apply_repairs(base, {"wide": wide, "other": other}, UNION)
    assert align_repaired(repaired, check_values=False).ok
    columns = {name: params["embed_tokens.weight"][:, 0].tolist() for name, params in repaired.finetunes.items()}
    assert columns["wide"] == pytest.approx([6.1, 3.1, 1.1, 2.1, 5.1])
    assert columns["other"] == pytest.approx([6.1, 3.3, 1.3, 2.3, 5.3])
    assert repaired.base["embed_tokens.weight"][:, 0].tolist() == pytest.approx([6.1, 3, 1, 2, 5.2])
    assert [repaired.base.spec(name).shape[0] for name in TABLES] == [5, 5, 5]
    assert json.loads(repaired.texts["config.json"]) == {"vocab_size": 5, "text_config": {"vocab_size": 5}}
    named = {file.name: file for file in repaired.side_files}
    assert set(named) == {"tokenizer.json", "tokenizer_config.json"}
    assert named["tokenizer.json"].parent.name == named["tokenizer_config.json"].parent.name == "wide"


def test_the_base_is_its_own_union(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcd"])
    tune = make_model(tmp_path / "tune", [*"ba"], 0.1)
    repaired = apply_repairs(base, {"tune": tune}, UNION)
    assert repaired.finetunes["tune"]["embed_tokens.weight"][:, 0].tolist() == pytest.approx([1.1, 2.1, 3, 4])
    assert repaired.side_files == base.side_files
    assert repaired.texts == {}


def test_without_one_that_knows_all_there_is_no_union(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcg"])
    wide = make_model(tmp_path / "wide", [*"abcdef"], 0.1)
    with pytest.raises(AlignmentError, match=r"no vocabulary contains all others: 'wide' .* lacks 1 of 'base' \('g'\)"):
        apply_repairs(base, {"wide": wide}, UNION)


def test_weights_without_a_tokenizer_and_as_many_rows_have_the_bases_tokens(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    bare = make_model(tmp_path / "bare", [*"abc"], 0.1, tokenizer=None)
    wide = make_model(tmp_path / "wide", [*"abcd"], 0.2)
    repaired = apply_repairs(base, {"bare": bare, "wide": wide}, UNION)
    assert repaired.finetunes["bare"]["embed_tokens.weight"][:, 0].tolist() == pytest.approx([1.1, 2.1, 3.1, 4.2])


@pytest.mark.parametrize("tokens", ["abcde", "ab"])
def test_rows_that_were_appended_or_cut_are_taken_by_number_and_noted(tmp_path: Path, tokens: str) -> None:
    base = make_model(tmp_path / "base", [*"abc"], tokenizer=None)
    tune = make_model(tmp_path / "tune", [*tokens], 0.1, tokenizer=None)
    repaired = apply_repairs(base, {"tune": tune, "same": make_model(tmp_path / "same", [*"abc"], 0.1)}, BASE)
    [note] = repaired.notes
    assert (note.severity, note.kind, note.task) == ("warning", "vocabulary", "tune")
    assert f"{len(tokens)} rows against 3 of the base: the first {min(3, len(tokens))} rows" in note.message
    expected = [1.1, 2.1, 3.1] if len(tokens) > 2 else [1.1, 2.1, 3]
    assert repaired.finetunes["tune"]["embed_tokens.weight"][:, 0].tolist() == pytest.approx(expected)
    assert note in align_repaired(repaired).findings


def test_rows_of_other_tokens_are_not_taken_by_number(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"], tokenizer=None)
    moved = make_model(tmp_path / "moved", [*"jihgabc"], 0.1)
    with pytest.raises(
        AlignmentError, match=r"--tokenizer base: the vocabulary of 'moved' cannot be read: there is no"
    ):
        apply_repairs(base, {"moved": moved}, BASE)
    with pytest.raises(AlignmentError, match=r"--tokenizer union: the vocabulary of 'base' cannot be read"):
        apply_repairs(base, {"moved": moved}, UNION)


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcd"])
    tune = make_model(tmp_path / "tune", [*"abc"], 0.1)
    (tmp_path / "tune" / "tokenizer.json").write_bytes((tmp_path / "base" / "tokenizer.json").read_bytes())
    with pytest.raises(AlignmentError, match=r"tune: tokenizer\.json has tokens up to row 3, but the embedding has 3"):
        apply_repairs(base, {"tune": tune}, BASE)


def test_a_broken_tokenizer_and_a_model_without_embedding_are_refused(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcd"])
    tune = make_model(tmp_path / "tune", [*"abc"], 0.1)
    (tmp_path / "tune" / "tokenizer.json").write_text("{")
    with pytest.raises(AlignmentError, match=r"tokenizer\.json: the vocabulary cannot be read"):
        apply_repairs(base, {"tune": tune}, BASE)
    with pytest.raises(AlignmentError, match="no token embedding found in 'tune'"):
        apply_repairs(base, {"tune": tune}, Repairs(tokenizer="base", private=("embed_tokens.*",)))


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    wide = make_model(tmp_path / "wide", [*"abcd"], 0.1)
    (tmp_path / "base" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read as JSON"):
        apply_repairs(base, {"wide": wide}, UNION)


def test_a_model_whose_vocabulary_fits_is_not_copied(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc", None])
    tune = make_model(tmp_path / "tune", [*"abc", None], 0.1)
    repaired = apply_repairs(base, {"tune": tune}, BASE)
    for name in tune:
        assert repaired.finetunes["tune"].locate(name) == tune.locate(name)
        assert repaired.base.locate(name) == base.locate(name)


def test_tables_of_other_lengths_and_the_trunk_stay(tmp_path: Path) -> None:
    more = {"position_embeddings.weight": torch.ones(4, 3), "classifier.weight": torch.ones(2, 3)}
    base = make_model(tmp_path / "base", [*"abc"], more=more)
    wide = make_model(tmp_path / "wide", [*"abcd"], 0.1, more=more)
    repaired = apply_repairs(base, {"wide": wide}, UNION)
    for name in ("trunk.weight", *more):
        assert repaired.base.locate(name) == base.locate(name)
    assert torch.equal(repaired.base["lm_head.weight"][:3], rows("abc", 100))
    assert repaired.base["lm_head.weight"][3, 0] == pytest.approx(VALUES["d"] + 100.1)


def test_only_the_size_of_this_vocabulary_is_changed() -> None:
    config = {"vocab_size": 5, "n": 5, "vision": {"vocab_size": 9}, "text": {"vocab_size": 5}, "list": [1]}
    changed = change_vocabulary_size(config, 5, 7)
    assert changed == {"vocab_size": 7, "n": 5, "vision": {"vocab_size": 9}, "text": {"vocab_size": 7}, "list": [1]}
