from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.checkpoints.repairs.renaming import Rename, find_rules, rename_all
from paretomerge.errors import AlignmentError, InputError

BODY = ["embeddings.word.weight", "encoder.layer.0.dense.weight", "encoder.layer.0.dense.bias", "pooler.dense.weight"]
prefixes = st.sampled_from(["", "bert.", "model.", "base.model.", "transformer.h."])


@pytest.mark.parametrize("text", ["a=:bert.", "*=model.:", "task one=a.:b.c."])
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert str(Rename.parse(text)) == text


@pytest.mark.parametrize("text", ["a", "a=bert.", "=:bert.", ":bert.", "a=x:y:z"])
def test_what_is_no_rule_is_shown_the_form(text: str) -> None:
    with pytest.raises(InputError, match=r"--rename '.*': write it as TASK=OLD:NEW, for example reviews=:bert\."):
        Rename.parse(text)


def test_a_rule_that_changes_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="changes nothing"):
        Rename.parse("a=x.:x.")


def test_rules_are_for_one_task_or_for_all() -> None:
    assert Rename("a", "", "x").applies_to("a")
    assert not Rename("a", "", "x").applies_to("b")
    assert Rename("*", "", "x").applies_to("b")


def test_rules_are_applied_one_after_the_other() -> None:
    rules = [Rename("a", "", "bert."), Rename("a", "bert.head.", "cls.")]
    assert rename_all(["w", "head.b"], rules, "a") == {"bert.w": "w", "cls.b": "head.b"}


def test_a_rule_without_a_match_and_one_that_makes_names_collide_are_refused() -> None:
    with pytest.raises(
        AlignmentError, match=r"--rename a=x\.:: no tensor of 'a' has a name that starts with 'x\.'; the first is 'w'"
    ):
        rename_all(["w"], [Rename("a", "x.", "")], "a")
    with pytest.raises(AlignmentError, match=r"two tensors of 'a' have the name 'w' \('x\.w' and 'w'\)"):
        rename_all(["x.w", "w"], [Rename("a", "x.", "")], "a")


def _explained(base: list[str], tune: list[str]) -> tuple[Rename, ...]:
    return find_rules("a", [n for n in base if n not in tune], [n for n in tune if n not in base], tune)


@given(prefixes, prefixes)
def test_found_rules_rename_every_tensor_to_the_name_of_the_base(old: str, new: str) -> None:
    base, tune = [new + name for name in BODY], [old + name for name in BODY]
    rules = _explained(base, tune)
    assert bool(rules) == (old != new)
    if rules:
        assert sorted(rename_all(tune, rules, "a")) == sorted(base)
        assert len(rules) == 1


def test_names_that_fit_already_are_left_alone() -> None:
    base = [f"bert.{name}" for name in BODY] + ["classifier.weight"]
    tune = [*BODY, "classifier.weight", "own.gate"]
    rules = _explained(base, tune)
    assert [str(rule) for rule in rules] == [
        "a=embeddings.:bert.embeddings.",
        "a=encoder.:bert.encoder.",
        "a=pooler.:bert.pooler.",
    ]
    assert set(rename_all(tune, rules, "a")) == {*base, "own.gate"}


def test_several_prefixes_are_found_at_once() -> None:
    base = [f"language_model.model.{name}" for name in BODY] + ["language_model.lm_head.weight"]
    tune = [f"model.language_model.{name}" for name in BODY] + ["lm_head.weight"]
    rules = _explained(base, tune)
    assert sorted(rename_all(tune, rules, "a")) == sorted(base)
    assert len(rules) == 2


def test_heads_of_other_models_are_no_renaming() -> None:
    base = ["bert.w.x", "cls.predictions.transform.dense.weight", "cls.seq.weight"]
    assert _explained(base, ["bert.w.x", "classifier.dense.weight", "classifier.out.weight"]) == ()
    assert _explained(["w"], ["v"]) == ()


def test_few_matches_among_many_names_are_no_renaming() -> None:
    base = [f"x{number}.a.b.c" for number in range(9)] + ["q.r.s.t"]
    tune = [f"y{number}.d.e.f" for number in range(9)] + ["p.r.s.t"]
    assert _explained(base, tune) == ()
