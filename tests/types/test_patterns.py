from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.types import Patterns, PatternWeights

letters = st.text("ab.*?[]", max_size=5)


@given(patterns=st.lists(letters, max_size=6), name=st.text("ab.*", max_size=5))
def test_the_first_pattern_in_order_that_matches_wins(patterns, name):
    expected = next((number for number, pattern in enumerate(patterns, start=1) if fnmatchcase(name, pattern)), 0)
    assert Patterns(patterns).first(name) == expected


@pytest.mark.parametrize(
    ("patterns", "name", "number"),
    [
        (["w", "*"], "w", 1),
        (["*", "w"], "w", 1),
        (["x", "w", "[vw]", "w"], "w", 2),
        (["x", "[vw]", "w"], "w", 2),
        (["W"], "w", 0),
        (["layers.?.w"], "layers.10.w", 0),
        (["layers.?.w"], "layers.1.w", 1),
        (["layers.[0-3].*"], "layers.4.w", 0),
        (["[!a]*"], "ab", 0),
        ([], "w", 0),
    ],
)
def test_shell_patterns_tell_upper_from_lower_case(patterns, name, number):
    assert Patterns(patterns).first(name) == number


def test_pattern_weights_say_which_row_holds_for_a_name():
    weights = PatternWeights("default", {"head.*": "x", "layers.0.w": "y", "layers.*": "z"})
    names = ("embed", "head.w", "layers.0.w", "layers.1.w")
    assert [weights.index(name) for name in names] == [0, 1, 2, 3]
    assert PatternWeights("default").index("w") == 0


def test_names_are_looked_up_and_not_compared_one_by_one(monkeypatch):
    """So that a pattern for every tensor of a large model costs nothing."""

    def compare(name, pattern):
        raise AssertionError("compared")

    monkeypatch.setattr("paretomerge.types.patterns.fnmatchcase", compare)
    patterns = Patterns([f"layers.{k}.w" for k in range(5)])
    assert [patterns.first(f"layers.{k}.w") for k in range(6)] == [1, 2, 3, 4, 5, 0]
