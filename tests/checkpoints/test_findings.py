"""What the outcome of the check says, and what it advises to type."""

from __future__ import annotations

import pytest

from paretomerge.checkpoints.findings import SHOWN_PER_KIND, Alignment, Finding
from paretomerge.errors import AlignmentError


def error(tensor: str, *repair: str, task: str | None = "a") -> Finding:
    return Finding("error", "missing", task, tensor, f"lacks {tensor!r}", (tensor,), repair)


def test_a_finding_names_the_model_it_is_about() -> None:
    assert str(error("w")) == "error: a: lacks 'w'"
    assert str(error("w", task=None)) == "error: base: lacks 'w'"


def test_each_repair_is_advised_once_quoted_for_a_shell() -> None:
    found = Alignment(
        (
            error("w", "--rename", "a=:bert.", "--rename", "a=x.:y."),
            error("v", "--skip", "cls.*"),
            error("v", "--skip", "cls.*", task="b"),
            error("u", "--rename", "*=:bert."),
        ),
        (),
    )
    assert found.repairs[:2] == (("--rename", "a=:bert."), ("--rename", "a=x.:y."))
    assert found.advice == "--rename a=:bert. --rename a=x.:y. --skip 'cls.*' --rename '*=:bert.'"


def test_what_is_kept_per_task_need_not_be_skipped_too() -> None:
    found = Alignment((error("w", "--skip", "head.*"), error("w", "--private", "head.*", task="b")), ())
    assert found.advice == "--private 'head.*'"


def test_warnings_advise_nothing() -> None:
    found = Alignment((Finding("warning", "extra", "a", "w", "has 'w'", (), ("--skip", "w")),), ())
    assert found.ok
    assert found.advice == ""
    assert found.raise_if_bad() is found


def test_the_error_ends_with_what_to_type_if_there_is_something() -> None:
    with pytest.raises(AlignmentError, match=r"1 problem:\n  a: lacks 'w'$"):
        Alignment((error("w"),), ()).raise_if_bad()
    with pytest.raises(AlignmentError, match=r"\nadd to `paretomerge check` or `paretomerge merge`:  --skip 'w\*'$"):
        Alignment((error("w", "--skip", "w*"),), ()).raise_if_bad()


def test_long_lists_are_cut_but_name_every_tensor() -> None:
    names = [f"w{number}" for number in range(SHOWN_PER_KIND + 2)]
    with pytest.raises(AlignmentError) as caught:
        Alignment(tuple(map(error, names)), ()).raise_if_bad()
    assert str(caught.value).endswith(f"a: and 2 more (missing): {names[-2]}, {names[-1]}")


def test_json_has_the_repairs() -> None:
    assert Alignment((error("w", "--skip", "w"),), ()).as_dict()["repairs"] == (("--skip", "w"),)
