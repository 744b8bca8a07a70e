from __future__ import annotations

import pytest
import torch

from paretomerge.errors import WeightsError
from paretomerge.merging import TaskArithmetic, merge
from paretomerge.posteriors import Isotropic

BASE = {"w": torch.tensor([1.0, 1.0])}
TASKS = {"a": {"w": torch.tensor([2.0, 1.0])}, "b": {"w": torch.tensor([1.0, 4.0])}}


def test_scaled_task_vectors_are_added_to_the_base_whatever_their_sign():
    assert merge(TASKS, {"a": 2.0, "b": -1.0}, rule=TaskArithmetic(), base=BASE)["w"].tolist() == [3.0, -2.0]
    assert merge(TASKS, {"a": 2.0, "b": -1.0}, rule=TaskArithmetic(0.5), base=BASE)["w"].tolist() == [2.0, -0.5]


def test_the_priors_mean_is_a_base_too_and_without_any_it_is_refused():
    found = merge(TASKS, [1.0, 1.0], prior=Isotropic(BASE), rule=TaskArithmetic())
    assert found["w"].tolist() == [2.0, 4.0]
    with pytest.raises(WeightsError, match="this rule adds task vectors to the base model: give `base`"):
        merge(TASKS, [1.0, 1.0], rule=TaskArithmetic())


def test_coefficients_may_be_divided_by_their_sum():
    rule = TaskArithmetic(normalize=True)
    found = merge(TASKS, [[3.0, 1.0], [1.0, -0.5]], rule=rule, base=BASE)
    assert [merged["w"].tolist() for merged in found] == [[1.75, 1.75], [3.0, -2.0]]
    assert merge(TASKS, [3.0, 1.0], rule=TaskArithmetic(2.0, True), base=BASE)["w"].tolist() == [2.5, 2.5]


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [[1.0, 1.0], [2.0, -2.0]], [1.0, -1.0 + 1e-13]])
def test_coefficients_that_sum_to_zero_cannot_be_divided(weights):
    with pytest.raises(
        WeightsError, match="coefficients that sum to zero cannot be normalised: set normalize to false"
    ):
        merge(TASKS, weights, rule=TaskArithmetic(normalize=True), base=BASE)
    merge(TASKS, weights, rule=TaskArithmetic(), base=BASE)
