from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.cli.options import parse_bytes, parse_numbers, parse_repairs, parse_settings, parse_tasks
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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.3", 0.3),
        ("-2", -2),
        ("1e-3", 0.001),
        ("+1E3", 1000.0),
        ("2.5e-1", 0.25),
        (".5e1", 5.0),
        ("5.e-1", 0.5),
        ("false", False),
        ("no", False),
        ("null", None),
        ("layer", "layer"),
        ("e3", "e3"),
        ("1e", "1e"),
        ("'1e3'", "1e3"),
        ("[1, 2]", [1, 2]),
        ("{a: 0.5, b: 0.3}", {"a": 0.5, "b": 0.3}),
        ("x=y", "x=y"),
        (" 7 ", 7),
    ],
)
def test_settings_are_read_as_yaml_and_numbers_with_an_exponent_are_numbers(text: str, value: object) -> None:
    found = parse_settings([f"key={text}"], "--set")
    assert found == {"key": value}
    assert type(found["key"]) is type(value)


def test_several_settings_make_a_mapping() -> None:
    assert parse_settings(["density=0.3", "normalize=false"], "--set") == {"density": 0.3, "normalize": False}
    assert parse_settings([], "--set") == {}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["density"], "--set 'density': write it as KEY=VALUE"),
        (["=0.3"], "--set '=0.3': write it as KEY=VALUE"),
        (["density="], "--set 'density=': write it as KEY=VALUE"),
        (["a=1", "a=1"], "--set 'a' is given twice"),
        (["a=[1"], r"--set 'a=\[1': '\[1' cannot be read"),
        (["a=b: c: d"], "cannot be read"),
    ],
)
def test_what_is_no_setting_is_shown_the_form(pairs: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_settings(pairs, "--set")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("100B", 100),
        ("5KB", 5_000),
        ("200MB", 200_000_000),
        ("200m", 200_000_000),
        ("5GB", 5_000_000_000),
        (" 1.5 gb ", 1_500_000_000),
        ("0.25K", 250),
        ("2T", 2_000_000_000_000),
    ],
)
def test_sizes_have_decimal_units(text: str, size: int) -> None:
    assert parse_bytes(text, "--max-shard-size") == size


@pytest.mark.parametrize("text", ["", "0", "0GB", "0.4", "-1GB", "5GiB", "GB", "1e9", "5 G B", "five", "1,5GB", "5PB"])
def test_what_is_no_size_is_shown_the_form(text: str) -> None:
    with pytest.raises(InputError, match=f"^--max-shard-size '{text}': write it as 5GB or 200MB$"):
        parse_bytes(text, "--max-shard-size")
