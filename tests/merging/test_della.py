from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tests.merging.naive import combine, deltas_of, eighths, merged_by

from paretomerge.arithmetic import random_key, random_lanes
from paretomerge.errors import RecipeError, WeightsError
from paretomerge.merging import Della, collect_inputs, della, merge

PLAIN = {"elect_signs": False, "rescale": False}


def chosen(deltas: np.ndarray, columns: int, density: float, epsilon: float, seed: int, task: str) -> np.ndarray:
    """The naive twin: rank by rank, row by row."""
    kept = np.zeros(deltas.size)
    lanes = random_lanes(random_key(seed, "w", task), 0, deltas.size)
    for start in range(0, deltas.size, columns):
        order = np.argsort(np.abs(deltas[start : start + columns]), kind="stable")
        for rank, place in enumerate(order):
            share = rank / (columns - 1) if columns > 1 else 0.5
            units = round((density - epsilon + 2 * epsilon * share) * 65536)
            kept[start + place] = lanes[start + rank] < units
    return kept


@pytest.mark.parametrize("shape", [(), (1,), (9,), (6, 1), (30, 40), (5, 2, 3)])
@pytest.mark.parametrize("elect", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_merges_are_those_of_the_naive_twin(shape, elect, rescale, monkeypatch):
    monkeypatch.setattr(della, "PIECE", 100)
    base, finetunes = eighths(shape, 3, 0, levels=50)
    rule = Della({"a": 0.3, "b": 0.5, "c": 1.0}, {"a": 0.2, "b": 0.1, "c": 0.7}, 0.5, elect, rescale=rescale, seed=5)
    deltas = deltas_of(base, finetunes)
    before = np.abs(deltas).sum(1)
    columns = math.prod(shape[1:]) if len(shape) > 1 else deltas.shape[1]
    deltas[0] *= chosen(deltas[0], columns, 0.3, 0.2, 5, "a")
    deltas[1] *= chosen(deltas[1], columns, 0.5, 0.1, 5, "b")
    after = np.abs(deltas).sum(1)
    factors = [one / other if rescale and other else 1.0 for one, other in zip(before, after, strict=True)]
    row = [1.0, 0.51, 0.253]
    found = merged_by(rule, base, finetunes, [row])[0]
    torch.testing.assert_close(found, combine(base, deltas, row, 0.5, elect, elect, factors), rtol=0, atol=1e-11)


def test_larger_entries_are_kept_more_often():
    """Frequencies by rank, over many rows, are the probabilities of the ranks."""
    rows, columns = 20_000, 6
    ranks = torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)).argsort(1)
    finetunes = {"a": (ranks + 1.0) * torch.where(ranks % 2 == 0, 1, -1)}
    found = merged_by(Della(0.5, 0.3, **PLAIN), torch.zeros(rows, columns), finetunes, [[1.0]])[0]
    for rank in range(columns):
        expected = 0.2 + 0.6 * rank / (columns - 1)
        frequency = float((found[ranks == rank] != 0).double().mean())
        assert abs(frequency - expected) < 5 * math.sqrt(expected * (1 - expected) / rows) + 2**-16


def test_without_epsilon_every_entry_is_alike():
    finetunes = {"a": torch.arange(1.0, 40_001).reshape(200, 200)}
    found = merged_by(Della(0.3, 0.0, **PLAIN), torch.zeros(200, 200), finetunes, [[1.0]])[0] != 0
    for part in (found[:, :100], found[:, 100:], found[:100], found[100:]):
        assert abs(float(part.double().mean()) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / part.numel())


def test_a_rescaled_task_vector_keeps_its_sum_of_magnitudes():
    base, finetunes = eighths((50, 60), 1, 0, levels=100)
    found = merged_by(Della(0.4, elect_signs=False), base, finetunes, [[1.0]])[0] - base
    delta = finetunes["a"] - base
    assert 0.35 < float((found != 0).double().mean()) < 0.45
    torch.testing.assert_close(found.abs().sum(), delta.abs().sum())
    kept = found != 0
    torch.testing.assert_close(found[kept] / delta[kept], (found[kept][0] / delta[kept][0]).expand(int(kept.sum())))


def test_tasks_tensors_and_seeds_are_independent():
    finetunes = {task: torch.ones(200, 200) for task in "ab"}

    def kept(task: str, seed: int = 0, name: str = "w") -> torch.Tensor:
        weights = [float(task == other) for other in finetunes]
        rule = Della(0.5, seed=seed, **PLAIN)
        return merged_by(rule, torch.zeros(200, 200), finetunes, [weights], name)[0] != 0

    assert torch.equal(kept("a"), kept("a"))
    for other in (kept("b"), kept("a", seed=1), kept("a", name="v")):
        # all magnitudes are equal, so the ranks are the places, and probabilities from 0.35 to 0.65 correlate
        expected = float((torch.linspace(0.35, 0.65, 200).double() ** 2).mean())
        both = float((kept("a") & other).double().mean())
        assert abs(both - expected) < 5 * math.sqrt(expected * (1 - expected) / 40_000)


@pytest.mark.parametrize("resident", [True, False])
def test_choices_are_kept_where_the_finetunes_are_in_memory(resident, monkeypatch):
    class Lazy(dict):
        """As a checkpoint on disk."""

        def spec(self, name):
            return inputs.specs[name]

    calls = []
    choose = della._choose

    def counted(*arguments):
        calls.append(1)
        return choose(*arguments)

    base, finetunes = eighths((20, 30), 2, 0)
    inputs = collect_inputs({task: {"w": tensor} for task, tensor in finetunes.items()}, base={"w": base})
    if not resident:
        inputs = inputs.map_params(Lazy)
    expected = merged_by(Della(), base, finetunes, [[1.0, 0.5], [0.5, 2.0]])
    monkeypatch.setattr(della, "_choose", counted)
    state = Della().prepare(inputs)
    for row, merged in zip([[1.0, 0.5], [0.5, 2.0]], expected, strict=True):
        out = {"w": torch.empty(1, 20, 30, dtype=torch.float64)}
        list(Della().merge_block(state, torch.tensor([row], dtype=torch.float64), "w", out))
        assert torch.equal(out["w"][0], merged)
    assert len(calls) == (2 if resident else 4)


def test_averages_are_the_default_where_signs_are_elected():
    assert Della().normalize is True
    assert Della(elect_signs=False).normalize is False
    assert Della(elect_signs=False, normalize=True).normalize is True
    assert Della() == Della(normalize=True)


@pytest.mark.parametrize(
    ("density", "epsilon", "message"),
    [
        (
            0.5,
            0.5,
            "density 0.5 and epsilon 0.5: entries are kept with probabilities from 0 to 1, which must lie between",
        ),
        (0.2, 0.3, "from -0.1 to 0.5, which must lie between 0 and 1. Take a smaller epsilon"),
        (0.9, 0.1, "from 0.8 to 1,"),
        (0.5, -0.1, "none below 0"),
        ({"a": 0.5, "b": 0.9}, 0.15, "density 0.9 and epsilon 0.15 of 'b'"),
        (0.5, {"a": 0.6}, "epsilon 0.6 of 'a'"),
        ({"a": 0.5, "b": 0.9}, {"b": 0.15, "c": 0.9}, "epsilon 0.15 of 'b'"),
        (0.0, 0.15, "density is 0: it is the share"),
        (0.5, math.nan, "epsilon must be a finite number, got nan"),
    ],
)
def test_probabilities_lie_between_zero_and_one(density, epsilon, message):
    with pytest.raises(RecipeError, match=message.replace(".", r"\.")):
        Della(density, epsilon)


def test_unknown_tasks_and_a_missing_base_are_refused():
    tasks = {"a": {"w": torch.ones(2)}}
    with pytest.raises(RecipeError, match="density is given for 'b', which is no task"):
        merge(tasks, [1.0], rule=Della({"b": 0.5}), base=tasks["a"])
    with pytest.raises(RecipeError, match="epsilon is given for 'b', which is no task"):
        merge(tasks, [1.0], rule=Della(epsilon={"b": 0.1}), base=tasks["a"])
    with pytest.raises(WeightsError, match="give `base`"):
        merge(tasks, [1.0], rule=Della())
