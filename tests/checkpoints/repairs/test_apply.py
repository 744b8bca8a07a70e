"""Renaming, skipping, private tensors and ties: what the merge is then given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from paretomerge.checkpoints import (
    Checkpoint,
    Rename,
    Repaired,
    Repairs,
    align_repaired,
    apply_repairs,
    open_checkpoint,
    with_private,
    write_params,
)
from paretomerge.errors import AlignmentError, InputError
from paretomerge.merging import merge

TRUNK = {
    "bert.layer.a.weight": torch.full((4, 4), 1.0),
    "bert.layer.b.weight": torch.full((3,), 2.0),
    "bert.steps": torch.tensor(1),
}


def model(prefix: str = "bert.", shift: float = 0.0, **more: Tensor) -> Checkpoint:
    trunk = {name.replace("bert.", prefix, 1): t + shift if t.is_floating_point() else t for name, t in TRUNK.items()}
    return open_checkpoint(trunk | {name.replace("__", "."): tensor for name, tensor in more.items()})


def test_without_repairs_everything_stays() -> None:
    base, tune = model(), model(shift=0.1)
    repaired = apply_repairs(base, {"a": tune})
    assert repaired.base is base
    assert list(repaired.finetunes["a"]) == list(tune)
    assert (repaired.private, repaired.kept, repaired.texts, repaired.notes) == ({}, frozenset(), {}, ())
    assert list(repaired.trunks()["a"]) == ["bert.layer.a.weight", "bert.layer.b.weight"]


def test_the_trunks_are_in_the_order_of_the_base_and_read_what_the_finetunes_hold() -> None:
    base = open_checkpoint(dict(reversed(TRUNK.items())))
    tune = model(shift=0.1)
    trunk = apply_repairs(base, {"a": tune}).trunks()["a"]
    assert list(trunk) == ["bert.layer.b.weight", "bert.layer.a.weight"]
    by_hand = Repaired(base, {"a": tune}, kept=frozenset({"bert.layer.a.weight"}))
    assert list(by_hand.trunks()["a"]) == ["bert.layer.b.weight"]
    assert all(trunk.locate(name) == tune.locate(name) for name in trunk)


@pytest.mark.parametrize(("prefix", "rule"), [("", ":bert."), ("m.bert.", "m.:"), ("roberta.", "roberta:bert")])
@pytest.mark.parametrize("task", ["a", "*"])
def test_renamed_finetunes_have_the_names_of_the_base(prefix: str, rule: str, task: str) -> None:
    tunes = {"a": model(prefix, 0.1)} | ({"b": model(shift=0.2)} if task == "a" else {"b": model(prefix, 0.2)})
    wanted = Repairs(rename=(Rename.parse(f"{task}={rule}"),))
    repaired = apply_repairs(model(), tunes, wanted)
    assert align_repaired(repaired).findings == ()
    assert torch.equal(repaired.finetunes["a"]["bert.layer.a.weight"], torch.full((4, 4), 1.1))


def test_a_rule_for_nobody_and_one_for_no_tensor_are_refused() -> None:
    with pytest.raises(InputError, match=r"--rename c=:x: there is no task 'c'; the tasks are a, or \* for all"):
        apply_repairs(model(), {"a": model()}, Repairs(rename=(Rename("c", "", "x"),)))
    with pytest.raises(AlignmentError, match=r"no tensor of 'a' has a name that starts with 'brt'"):
        apply_repairs(model(), {"a": model()}, Repairs(rename=(Rename("*", "brt", ""),)))


def test_skipped_tensors_are_the_bases_whatever_the_finetunes_have() -> None:
    base = model(cls__weight=torch.zeros(2, 4))
    tunes = {
        "a": model(shift=0.1),
        "b": model(shift=0.2, cls__weight=torch.ones(9)),
        "c": model(cls__other=torch.ones(1)),
    }
    assert not align_repaired(apply_repairs(base, tunes)).ok
    repaired = apply_repairs(base, tunes, Repairs(skip=("cls.*",)))
    assert align_repaired(repaired).errors == ()
    assert repaired.kept == {"cls.weight"}
    assert "cls.weight" in repaired.base
    assert all("cls.weight" not in tune and "cls.other" not in tune for tune in repaired.finetunes.values())
    assert repaired.private == {}


def test_private_tensors_are_left_out_and_kept_per_task() -> None:
    base = model(head__weight=torch.zeros(2, 4))
    tunes = {
        "a": model(shift=0.1, head__weight=torch.ones(5, 4), head__bias=torch.ones(5)),
        "b": model(shift=0.2, head__weight=torch.full((2, 4), 3.0)),
        "c": model(shift=0.3),
    }
    repaired = apply_repairs(base, tunes, Repairs(private=("head.*",)))
    assert align_repaired(repaired).errors == ()
    assert {task: list(own) for task, own in repaired.private.items()} == {
        "a": ["head.weight", "head.bias"],
        "b": ["head.weight"],
    }
    assert repaired.kept == {"head.weight"}
    merged = merge(repaired.trunks(), {"a": 0.5, "b": 0.5, "c": 0.0}, base=repaired.base)
    assert isinstance(merged, dict)
    assert torch.equal(merged["head.weight"], torch.zeros(2, 4)), "the base's stays, so that the model loads"
    torch.testing.assert_close(merged["bert.layer.a.weight"], torch.full((4, 4), 1.15))
    of_task = with_private(merged, repaired.private["a"])
    assert of_task["head.weight"].shape == (5, 4)
    assert "head.bias" in of_task
    assert repaired.private["a"].locate("head.bias") == tunes["a"].locate("head.bias")


def test_private_goes_before_skip_and_both_see_the_names_after_renaming() -> None:
    base = model(head__weight=torch.zeros(2, 4))
    tune = open_checkpoint({"x.head.weight": torch.ones(1), "x.pool": torch.ones(1)} | dict(model()))
    wanted = Repairs((Rename("a", "x.", ""),), skip=("head.*", "pool"), private=("head.weight",))
    repaired = apply_repairs(base, {"a": tune}, wanted)
    assert list(repaired.private["a"]) == ["head.weight"]
    assert list(repaired.finetunes["a"]) == list(TRUNK)


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    base, tune = model(head__weight=torch.zeros(2)), model(shift=0.1)
    with pytest.raises(AlignmentError, match=r"--skip 'had\.\*': no tensor of the base or a finetune has such a name"):
        apply_repairs(base, {"a": tune}, Repairs(skip=("had.*",)))
    with pytest.raises(AlignmentError, match=r"--private 'head\.\*': no tensor of a finetune has such a name"):
        apply_repairs(base, {"a": tune}, Repairs(private=("head.*",)))


@pytest.mark.parametrize("field", ["skip", "private"])
@pytest.mark.parametrize("given", ["head.*", ("",), (3,)])
def test_patterns_are_texts_in_a_sequence(field: str, given: object) -> None:
    with pytest.raises(InputError, match=f"--{field} .*: give names or patterns such as"):
        Repairs(**{field: given})  # type: ignore[arg-type]


def test_an_unknown_choice_of_the_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match="--tokenizer 'bse': one of base, union"):
        Repairs(tokenizer="bse")  # type: ignore[arg-type]


def test_repairs_are_the_arguments_they_were_typed_as() -> None:
    wanted = Repairs((Rename("a", "", "b."), Rename("*", "x", "y")), ("s*",), ("p", "q"), "base")
    assert wanted.arguments == (
        *("--rename", "a=:b.", "--rename", "*=x:y", "--skip", "s*"),
        *("--private", "p", "--private", "q", "--tokenizer", "base"),
    )
    assert Repairs().arguments == ()


def test_the_second_name_of_a_tied_parameter_is_read_under_the_first() -> None:
    table = torch.randn(5, 2)
    base = model(embed__weight=table, lm_head__weight=table.clone())
    tune = model(shift=0.1, embed__weight=table + 0.1)
    repaired = apply_repairs(base, {"a": tune})
    assert torch.equal(repaired.finetunes["a"]["lm_head.weight"], table + 0.1)
    assert repaired.finetunes["a"].locate("lm_head.weight") == tune.locate("embed.weight")
    [note] = repaired.notes
    assert (note.severity, note.kind, note.task, note.tensor) == ("warning", "tied", "a", "lm_head.weight")
    alignment = align_repaired(repaired)
    assert alignment.ok
    assert alignment.findings == (note,)
    assert alignment.tied == (("embed.weight", "lm_head.weight"),)
    assert list(repaired.trunks()["a"])[-2:] == ["embed.weight", "lm_head.weight"]


def test_an_untied_or_skipped_name_is_not_made_up() -> None:
    table = torch.randn(5, 2)
    tune = model(shift=0.1, embed__weight=table)
    assert (
        "lm_head.weight"
        not in apply_repairs(model(embed__weight=table, lm_head__weight=-table), {"a": tune}).finetunes["a"]
    )
    tied = model(embed__weight=table, lm_head__weight=table.clone())
    repaired = apply_repairs(tied, {"a": tune}, Repairs(skip=("lm_head.*",)))
    assert "lm_head.weight" not in repaired.finetunes["a"]
    assert repaired.notes == ()


def test_a_second_name_absent_everywhere_is_fine() -> None:
    table = torch.randn(5, 2)
    repaired = apply_repairs(model(embed__weight=table), {"a": model(shift=0.1, embed__weight=table + 0.1)})
    assert align_repaired(repaired).findings == ()


def test_advice_for_a_head_does_not_list_names_that_a_tie_explains() -> None:
    table = torch.randn(5, 2)
    base = model(
        embed__weight=table, cls__decoder__weight=table.clone(), cls__dense=torch.ones(2), cls__bias=torch.ones(5)
    )
    tune = model(shift=0.1, embed__weight=table + 0.1)
    assert align_repaired(apply_repairs(base, {"a": tune})).advice == "--skip 'cls.*'"


def test_an_extra_tied_name_is_dropped_from_what_is_merged() -> None:
    table = torch.randn(5, 2)
    base = model(embed__weight=table)
    tune = model(shift=0.1, embed__weight=table + 0.1, lm_head__weight=table + 0.1)
    repaired = apply_repairs(base, {"a": tune})
    assert align_repaired(repaired).ok
    assert "lm_head.weight" not in repaired.trunks()["a"]


def test_repairs_read_no_values(tmp_path: Path) -> None:
    base = open_checkpoint(write_params(tmp_path / "base", dict(model())))
    tune = open_checkpoint(write_params(tmp_path / "a", dict(model("", 0.1, head=torch.ones(3)))))
    for file in (tmp_path / "a").glob("*.safetensors"):
        file.unlink()
    repaired = apply_repairs(base, {"a": tune}, Repairs((Rename("a", "", "bert."),), private=("bert.head",)))
    assert align_repaired(repaired, check_values=False).ok


def test_what_advice_says_repairs() -> None:
    """Typing what the first check says makes the second one pass."""
    from paretomerge.cli.options import parse_repairs

    base = model(cls__weight=torch.zeros(2, 4), head__weight=torch.zeros(2, 4))
    tunes = {
        "plain": model("", 0.1, own__gate=torch.ones(2)),
        "classes": model(shift=0.2, head__weight=torch.ones(7, 4)),
        "other": model("net.", 0.3),
    }
    first = align_repaired(apply_repairs(base, tunes))
    chosen: dict[str, list[str]] = {}
    for option, value in first.repairs:
        chosen.setdefault(option.removeprefix("--"), []).append(value)
    wanted = parse_repairs(chosen.get("rename"), chosen.get("skip"), chosen.get("private"), None)
    assert align_repaired(apply_repairs(base, tunes, wanted)).errors == ()
