from __future__ import annotations

import math

import pytest
import torch
from tests.merging.naive import combine, deltas_of, eighths, merged_by

from paretomerge.arithmetic import LANES, quantised, random_key, random_lanes
from paretomerge.errors import RecipeError
from paretomerge.merging import Dare, merge

BASE = torch.zeros(40_000, dtype=torch.float64)
ONES = {task: torch.ones_like(BASE) for task in "ab"}


def kept(rule: Dare, task: str, name: str = "w") -> torch.Tensor:
    weights = [float(task == other) for other in ONES]
    return merged_by(rule, BASE, ONES, [weights], name)[0]


@pytest.mark.parametrize("elect", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_merges_are_those_of_the_naive_twin(elect, normalize, rescale):
    base, finetunes = eighths((30, 40), 3, 0)
    rule = Dare({"a": 0.25, "b": 0.5, "c": 0.125}, 0.5, elect, normalize, rescale, seed=5)
    units = [quantised(density) for density in (0.25, 0.5, 0.125)]  # votes of zero stay exact
    deltas = deltas_of(base, finetunes)
    for row, (task, unit) in enumerate(zip(finetunes, units, strict=True)):
        deltas[row] *= (random_lanes(random_key(5, "w", task), 0, 1200).astype(int) + LANES // 2) % LANES < unit
    factors = [LANES / unit if rescale else 1.0 for unit in units]
    rows = [[1.0, 0.5, 0.25], [-0.5, 2.0, 1.0]]
    for row, found in zip(rows, merged_by(rule, base, finetunes, rows), strict=True):
        expected = combine(base, deltas, row, 0.5, elect, normalize, factors)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("density", [0.001, 0.1, 0.5, 0.97])
def test_entries_are_kept_at_random_and_divided_by_the_probability_that_was_used(density):
    probability = quantised(density) / LANES
    found = kept(Dare(density), "a")
    values = sorted(found.unique().tolist())
    assert values == [0.0, pytest.approx(1 / probability, rel=1e-15)]
    deviation = math.sqrt(probability * (1 - probability) / len(found))
    assert abs(float((found != 0).double().mean()) - probability) < 5 * deviation
    assert abs(float(found.mean()) - 1) < 5 * deviation / probability, "unbiased"
    assert kept(Dare(density, rescale=False), "a").unique().tolist() == [0.0, 1.0]


def test_tasks_tensors_and_seeds_are_independent():
    one = kept(Dare(0.5), "a") != 0
    assert torch.equal(one, kept(Dare(0.5), "a") != 0)
    others = [kept(Dare(0.5), "b"), kept(Dare(0.5, seed=1), "a"), kept(Dare(0.5), "a", "v")]
    for other in others:
        both = float((one & (other != 0)).double().mean())
        assert abs(both - 0.25) < 5 * math.sqrt(0.25 * 0.75 / len(one))


def test_a_larger_density_keeps_what_a_smaller_one_kept():
    assert bool((kept(Dare(0.6), "a") != 0)[kept(Dare(0.4), "a") != 0].all())


def test_a_task_keeps_its_entries_whatever_is_merged_beside_it():
    alone = merged_by(Dare(0.5), BASE, {"b": ONES["b"]}, [[1.0]])[0]
    assert torch.equal(alone, kept(Dare(0.5), "b"))


@pytest.mark.parametrize("density", [0.0, 1.01, math.nan])
def test_unusable_densities_are_refused(density):
    with pytest.raises(RecipeError, match="density"):
        Dare(density)


def test_densities_of_unknown_tasks_are_refused():
    with pytest.raises(RecipeError, match=r"density is given for 'c', which is no task: 'a', 'b'"):
        merge(
            {task: {"w": tensor} for task, tensor in ONES.items()},
            [1, 1],
            rule=Dare({"a": 1, "b": 1, "c": 1}),
            base={"w": BASE},
        )
