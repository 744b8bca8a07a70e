from __future__ import annotations

import inspect
import pickle
import re

import pytest

from paretomerge import errors


def _classes() -> dict[str, type]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }


def _drawn() -> dict[str, str | None]:
    """Class → parent, as the docstring draws them: four columns per level."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^    ([ │├└─]*)([A-Z]\w+Error)\b", line)
        if found:
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            parents[found[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawn_tree_is_the_tree() -> None:
    drawn = _drawn()
    assert set(drawn) == set(_classes())
    for name, parent in drawn.items():
        assert _classes()[name].__base__.__name__ == (parent or "Exception")


def test_bad_input_exits_with_2_and_failures_with_1() -> None:
    for value in _classes().values():
        assert value.exit_code == (2 if issubclass(value, errors.InputError) else 1)


def test_the_exit_codes_of_the_drawing_are_those_of_the_classes() -> None:
    drawn = dict(re.findall(r"(\w+Error) .*\(exit code (\d)\)", errors.__doc__))
    assert drawn == {"InputError": "2", "FailureError": "1"}
    for name, code in drawn.items():
        assert _classes()[name].exit_code == int(code)


@pytest.mark.parametrize("name", sorted(_classes()))
def test_every_class_says_what_it_is_for(name: str) -> None:
    assert _classes()[name].__doc__.endswith(".")


def test_a_missing_extra_names_the_command_that_brings_it() -> None:
    error = errors.MissingExtraError.of("transformers", "hf")
    assert isinstance(error, errors.FailureError)
    assert "'transformers'" in str(error)
    assert "pip install 'paretomerge[hf]'" in str(error)


def test_an_infeasible_wish_says_in_attributes_what_its_message_says() -> None:
    bare = errors.InfeasibleError("nothing")
    assert (str(bare), bare.closest, bare.relax, bare.alone) == ("nothing", None, {}, {})
    full = errors.InfeasibleError("nothing", relax={"a": (0.9, 0.8)}, alone={"b": (1.0, 2.0)})
    again = pickle.loads(pickle.dumps(full))
    assert (str(again), again.relax, again.alone) == ("nothing", {"a": (0.9, 0.8)}, {"b": (1.0, 2.0)})
