from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.checkpoints.patterns import group_by_pattern, matches_any, require_matches
from paretomerge.errors import AlignmentError

parts = st.sampled_from(["a", "b", "layer", "0", "1", "12", "w[x]", "weight"])
names = st.lists(parts, min_size=1, max_size=4).map(".".join)


@given(st.sets(names, min_size=1), st.sets(names))
def test_patterns_cover_the_names_and_nothing_else(wanted: set[str], others: set[str]) -> None:
    others -= wanted
    groups = group_by_pattern(sorted(wanted), others)
    assert sorted(name for group in groups.values() for name in group) == sorted(wanted)
    for pattern, group in groups.items():
        assert all(matches_any(name, [pattern]) for name in group)
        assert not any(matches_any(name, [pattern]) for name in others)


@pytest.mark.parametrize(
    ("wanted", "others", "patterns"),
    [
        (["cls.a.bias", "cls.b"], {"bert.a"}, ["cls.*"]),
        (["layer.0.gate.w", "layer.1.gate.w"], {"layer.0.up.w"}, ["layer.*.gate.*"]),
        (["layer.1.w"], {"layer.0.w"}, ["layer.1.w"]),
        (["head.out.w"], {"head.dense.w"}, ["head.out.*"]),
        (["w"], set(), ["w"]),
        (["x[1]"], {"x1"}, ["x[[]1]"]),
    ],
)
def test_the_shortest_pattern_is_found(wanted: list[str], others: set[str], patterns: list[str]) -> None:
    assert list(group_by_pattern(wanted, others)) == patterns


def test_a_pattern_without_any_match_is_refused_with_the_names_there_are() -> None:
    require_matches("--skip", ["bert.*"], ["bert.w", "cls.w"], "the base")
    with pytest.raises(
        AlignmentError, match=r"--skip 'brt\.\*': no tensor of the base has such a name; names start with bert, cls"
    ):
        require_matches("--skip", ["brt.*"], ["bert.w", "cls.w"], "the base")
