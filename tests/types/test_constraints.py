from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretomerge.errors import DataError
from paretomerge.types import Constraint, Objective, are_feasible

OBJECTIVES = (Objective("accuracy[a]", "maximise"), Objective("tokens"))
names = st.text(st.characters(categories=("L", "N")), min_size=1).flatmap(
    lambda word: st.sampled_from([word, f"{word}[task]", f"mean {word}", f"{word} <", "a <= b"])
)


@given(name=names, limit=st.floats(allow_nan=False, allow_infinity=False), upper=st.booleans())
def test_what_is_written_is_read_back(name, limit, upper):
    constraint = Constraint(name, limit, upper)
    assert Constraint.parse(str(constraint)) == constraint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tokens <= 300", Constraint("tokens", 300.0)),
        ("  tokens<=3e2 ", Constraint("tokens", 300.0)),
        ("accuracy[a] >= 0.5", Constraint("accuracy[a]", 0.5, upper=False)),
        ("mean loss>=-1", Constraint("mean loss", -1.0, upper=False)),
    ],
)
def test_limits_are_read_with_or_without_spaces(text, expected):
    assert Constraint.parse(text) == expected


def test_a_constraint_prints_as_a_person_would_write_it():
    assert str(Constraint("tokens", 300.0)) == "tokens <= 300"
    assert str(Constraint("accuracy", 0.1, upper=False)) == "accuracy >= 0.1"
    assert str(Constraint("tokens", 0.123456789)) == "tokens <= 0.123456789"


@pytest.mark.parametrize(
    "text", ["", "tokens", "tokens < 300", "tokens = 300", "<= 300", "tokens <=", "tokens <= many", "tokens <= nan",
             "tokens <= inf", "300 >= tokens", "tokens <= 300 400"]
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(DataError, match=r"constraint .*: write it as NAME <= NUMBER or NAME >= NUMBER"):
        Constraint.parse(text)


def test_slack_is_how_far_inside_in_the_objectives_own_unit():
    values = np.array([[0.7, 200.0], [0.4, 350.0]])
    assert Constraint.parse("tokens <= 300").slack(values, OBJECTIVES).tolist() == [100.0, -50.0]
    inside = Constraint.parse("accuracy[a] >= 0.5").slack(values, OBJECTIVES)
    assert inside == pytest.approx([0.2, -0.1])


@given(
    values=arrays(np.float64, (3, 4, 2), elements=st.floats(-5, 5)),
    limits=st.lists(st.tuples(st.sampled_from([0, 1]), st.floats(-5, 5), st.booleans()), max_size=3),
)
def test_feasible_are_points_that_respect_every_limit(values, limits):
    constraints = [Constraint(OBJECTIVES[column].name, limit, upper) for column, limit, upper in limits]
    found = are_feasible(values, OBJECTIVES, constraints)
    assert found.shape == (3, 4)
    assert found.dtype == bool
    for index in np.ndindex(3, 4):
        expected = all(
            (values[index][column] <= limit) if upper else (values[index][column] >= limit)
            for column, limit, upper in limits
        )
        assert found[index] == expected


def test_a_limit_itself_is_feasible_and_an_unknown_score_is_not():
    values = np.array([[0.0, 300.0], [0.0, np.nan]])
    assert are_feasible(values, OBJECTIVES, [Constraint.parse("tokens <= 300")]).tolist() == [True, False]


def test_an_unknown_objective_is_named_with_those_that_are():
    with pytest.raises(
        DataError,
        match=r"constraint token <= 3: unknown objective 'token' \(did you mean 'tokens'\?\); they are acc",
    ):
        Constraint.parse("token <= 3").column(OBJECTIVES)
    assert Constraint.parse("tokens <= 3").column(OBJECTIVES) == 1
