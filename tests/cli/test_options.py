from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.cli.options import parse_numbers, parse_repairs, parse_tasks
from paretomerge.errors import InputError

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)


@given(st.dictionaries(names, st.floats(allow_nan=False), min_size=1, max_size=4))
def test_numbers_are_read_as_python_writes_them(values: dict[str, float]) -> None:
    assert parse_numbers(",".join(f"{name}={value!r}" for name, value in values.items()), "--weights") == values


def test_spaces_and_names_with_brackets_are_allowed() -> None:
    assert parse_numbers("loss[a]=0.5, b = 1e-3", "--at-least") == {"loss[a]": 0.5, "b": 1e-3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=x", "--weights 'a=x': 'x' is not a number; write a=0.6,b=0.4"),
        ("0.6,0.4", "write a=0.6,b=0.4"),
        ("a=", "'' is not a number"),
        ("", "'' is not a number"),
        ("a=0.5,", "'' is not a number"),
        ("=0.5", "write a=0.6,b=0.4"),
        ("a=0.5,a=0.5", "'a' is given twice"),
    ],
)
def test_what_is_no_list_of_numbers_is_shown_the_form(text: str, message: str) -> None:
    with pytest.raises(InputError, match=r"^--weights") as caught:
        parse_numbers(text, "--weights")
    assert message in str(caught.value)


def test_tasks_are_pairs_whose_paths_may_hold_equal_signs() -> None:
    assert parse_tasks(["a=x/y", "b=run=3/model"]) == {"a": "x/y", "b": "run=3/model"}


@pytest.mark.parametrize("pairs", [["x/y"], ["=x"], ["a="], ["a=x", "a=y"]])
def test_what_is_no_task_is_shown_the_form(pairs: list[str]) -> None:
    with pytest.raises(InputError, match=r"^--task '.*(write it as NAME=DIR|is given twice)"):
        parse_tasks(pairs)


def test_repairs_are_read_from_their_four_options() -> None:
    wanted = parse_repairs(["a=:b.", "*=x:y"], ["s.*"], ["p"], "union")
    assert wanted.arguments == (
        *("--rename", "a=:b.", "--rename", "*=x:y", "--skip", "s.*"),
        *("--private", "p", "--tokenizer", "union"),
    )
    assert parse_repairs(None, None, None, None).arguments == ()
