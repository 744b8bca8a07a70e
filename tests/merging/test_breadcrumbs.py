from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merging.naive import between, combine, deltas_of, eighths, merged_by

from paretomerge.errors import RecipeError, WeightsError
from paretomerge.merging import Breadcrumbs, merge

WEIGHTS = st.sampled_from((-1.0, 0.0, 0.25, 0.5, 1.0))


@given(
    shape=st.sampled_from(((), (1,), (9,), (3, 5), (2, 3, 4), (40,))),
    tasks=st.integers(1, 4),
    dtype=st.sampled_from((torch.float64, torch.float32, torch.bfloat16, torch.float16)),
    seed=st.integers(0, 1000),
    density=st.floats(0.01, 0.99),
    gamma=st.floats(0.0, 0.99),
    elect=st.booleans(),
    data=st.data(),
)
@settings(max_examples=150)
def test_merges_are_those_of_the_naive_twin(shape, tasks, dtype, seed, density, gamma, elect, data):
    """With equal magnitudes at both thresholds."""
    base, finetunes = eighths(shape, tasks, seed)
    base, finetunes = base.to(dtype), {task: tensor.to(dtype) for task, tensor in finetunes.items()}
    row = data.draw(st.lists(WEIGHTS, min_size=tasks, max_size=tasks))
    found = merged_by(Breadcrumbs(density, gamma, 0.5, elect), base, finetunes, [row])[0]
    deltas = deltas_of(base, finetunes)
    deltas = deltas * between(deltas, [density] * tasks, [gamma] * tasks)
    torch.testing.assert_close(found, combine(base, deltas, row, 0.5, elect, False), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("density", "gamma", "expected"),
    [
        (0.5, 0.2, [0, 0, 0, 0, 0, -6, 7, 8, 4, 5]),
        (0.5, 0.0, [10, -9, 0, 0, 0, -6, 7, 8, 0, 0]),
        (0.9, 0.0, [10, -9, 3, 2, 0, -6, 7, 8, 4, 5]),
        (0.9, 0.5, [0, -9, 3, 2, 1, -6, 7, 8, 4, 5]),
        (0.05, 0.1, [0] * 10),
    ],
)
def test_the_largest_go_first_then_the_smallest(density, gamma, expected):
    """And where that is too much, fewer of the largest: `density` decides how many are left."""
    finetunes = {"a": torch.tensor([10.0, -9.0, 3.0, 2.0, 1.0, -6.0, 7.0, 8.0, 4.0, 5.0])}
    found = merged_by(Breadcrumbs(density, gamma), torch.zeros(10), finetunes, [[1.0]])[0]
    assert found.tolist() == expected


def test_shares_may_differ_between_tasks():
    finetunes = {"b": torch.tensor([1.0, 2.0, 3.0, 4.0]), "a": torch.tensor([40.0, 30.0, 20.0, 10.0])}
    rule = Breadcrumbs({"a": 0.5, "b": 0.25}, {"a": 0.0, "b": 0.5})
    assert merged_by(rule, torch.zeros(4), finetunes, [[1.0, 1.0]])[0].tolist() == [40, 32, 0, 0]


def test_unusable_shares_are_refused():
    with pytest.raises(
        RecipeError, match=r"gamma is 1: it is the share of the largest entries that is dropped, in \[0, 1\)"
    ):
        Breadcrumbs(gamma=1.0)
    with pytest.raises(RecipeError, match=r"gamma of 'b' is -0\.1"):
        Breadcrumbs(gamma={"a": 0.1, "b": -0.1})
    with pytest.raises(RecipeError, match="density is 0"):
        Breadcrumbs(0.0)
    tasks = {"a": {"w": torch.ones(2)}}
    with pytest.raises(RecipeError, match="gamma is given for 'c', which is no task"):
        merge(tasks, [1.0], rule=Breadcrumbs(gamma={"c": 0.1}), base=tasks["a"])
    with pytest.raises(RecipeError, match="density is given for 'b'"):
        merge(tasks, [1.0], rule=Breadcrumbs({"a": 0.1, "b": 0.1}), base=tasks["a"])
    with pytest.raises(WeightsError, match="give `base`"):
        merge(tasks, [1.0], rule=Breadcrumbs())
