from __future__ import annotations

from pathlib import Path

import pytest
from tests.checkpoints.vocabularies import make_model

from paretomerge.checkpoints import Alignment, Repairs, align, align_repaired, apply_repairs


def check(base: object, **tunes: object) -> Alignment:
    return align(base, tunes, check_values=False)  # type: ignore[arg-type]


def test_more_tokens_are_told_from_other_classes_and_the_union_is_advised(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    wide = make_model(tmp_path / "wide", [*"abcde"], 0.1)
    [found] = check(base, wide=wide).errors
    assert found.kind == "vocabulary"
    assert found.tensors == ("embed_tokens.weight", "lm_head.weight", "lm_head.bias")
    assert "has 5 rows of tokens, the base 3" in found.message
    assert "2 tokens more and 0 fewer" in found.message
    assert "--tokenizer base keeps the base's tokens, --tokenizer union all of them" in found.message
    assert check(base, wide=wide).advice == "--tokenizer union"
    assert align_repaired(apply_repairs(base, {"wide": wide}, Repairs(tokenizer="union"))).ok


@pytest.mark.parametrize(("tokens", "advice"), [("abxd", "base"), ("ab", "base")])
def test_without_a_union_the_bases_tokens_are_advised(tmp_path: Path, tokens: str, advice: str) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    tune = make_model(tmp_path / "tune", [*tokens.replace("x", "e")], 0.1)
    assert check(base, tune=tune).advice == f"--tokenizer {advice}"
    assert align_repaired(apply_repairs(base, {"tune": tune}, Repairs(tokenizer="base"))).ok


def test_one_advice_serves_all_tasks(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    tunes = {"d": make_model(tmp_path / "d", [*"abcd"]), "e": make_model(tmp_path / "e", [*"abce"])}
    assert check(base, **tunes).advice == "--tokenizer base"


def test_unreadable_vocabularies_are_said_to_be(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"], tokenizer=None)
    wide = make_model(tmp_path / "wide", [*"abcd"], tokenizer=None)
    [found] = check(base, wide=wide).errors
    assert (
        "whose tokens cannot be read (no tokenizer.json, vocab.json or vocab.txt beside one of the two)"
        in found.message
    )
    assert found.repair == ("--tokenizer", "base")
    known = make_model(tmp_path / "known", [*"abcd"])
    [found] = check(base, known=known).errors
    assert found.repair == (), "the base's tokens may be in any order"


def test_tokens_in_other_rows_of_as_many_are_an_error(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcd"])
    moved = make_model(tmp_path / "moved", [*"bacd"])
    replaced = make_model(tmp_path / "replaced", [*"abce"])
    found = {finding.task: finding for finding in check(base, moved=moved, replaced=replaced).errors}
    assert "2 of its tokens are in other rows ('b', 'a' …)" in found["moved"].message
    assert "1 of its tokens are in other rows ('e' …)" in found["replaced"].message
    assert found["moved"].repair == ("--tokenizer", "base")
    repaired = apply_repairs(base, {"moved": moved, "replaced": replaced}, Repairs(tokenizer="base"))
    assert align_repaired(repaired).ok


def test_tokens_in_rows_that_are_padding_in_the_base_are_a_warning(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc", None, None])
    tune = make_model(tmp_path / "tune", [*"abcd", None])
    alignment = check(base, tune=tune)
    assert alignment.ok
    [found] = alignment.warnings
    assert "has 1 tokens that the base lacks ('d' …), in rows that are padding there" in found.message
    assert "--tokenizer union" in found.message


def test_the_same_tokens_in_other_files_are_no_finding(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    tune = make_model(tmp_path / "tune", [*"abc"], tokenizer="vocab.json")
    assert check(base, tune=tune).findings == ()


def test_a_broken_tokenizer_does_not_stop_a_merge_that_fits(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abc"])
    tune = make_model(tmp_path / "tune", [*"abc"])
    (tmp_path / "tune" / "tokenizer.json").write_text("{")
    assert check(base, tune=tune).findings == ()


def test_embeddings_that_are_left_out_are_not_compared(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base", [*"abcd"], head=False)
    moved = make_model(tmp_path / "moved", [*"bacde"], head=False)
    repaired = apply_repairs(base, {"moved": moved}, Repairs(skip=("embed*",)))
    assert align_repaired(repaired).ok
