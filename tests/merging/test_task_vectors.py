"""What the rules that trim task vectors share: nothing depends on how the work is cut or ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from tests.merging.naive import combine, deltas_of, eighths, merged_by
from torch import Tensor

from paretomerge.arithmetic import tiles
from paretomerge.errors import WeightsError
from paretomerge.merging import Breadcrumbs, Dare, Della, Inputs, MergeRule, TaskArithmetic, Ties, collect_inputs
from paretomerge.merging.task_vectors import TaskVectors, merge_task_vectors

RULES = {
    "ties": Ties(0.3),
    "ties summed": Ties(0.3, normalize=False),
    "dare": Dare(0.4),
    "dare elected": Dare(0.4, elect_signs=True),
    "dare averaged": Dare(0.4, elect_signs=True, normalize=True),
    "della": Della(),
    "della added": Della(elect_signs=False),
    "breadcrumbs": Breadcrumbs(0.6, 0.1),
    "breadcrumbs elected": Breadcrumbs(0.6, 0.1, elect_signs=True),
}
ROWS = [[0.1, 0.2, -0.3], [1.0, 0.0, 0.0], [0.7, 0.7, 0.7], [-0.3, 1.0, 0.2]]


def random_models(shape: Sequence[int], dtype: torch.dtype = torch.bfloat16) -> tuple[Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(shape, generator=generator)
    finetunes = {task: (base + 0.1 * torch.randn(shape, generator=generator)).to(dtype) for task in "abc"}
    return base.to(dtype), finetunes


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> MergeRule:
    return RULES[request.param]


def test_a_weighting_is_merged_alike_alone_and_among_others(rule):
    base, finetunes = random_models((30, 41))
    together = merged_by(rule, base, finetunes, ROWS)
    for row, merged in zip(ROWS, together, strict=True):
        assert torch.equal(merged_by(rule, base, finetunes, [row])[0], merged)


def test_the_order_of_the_tasks_changes_no_bit(rule):
    """Not even where a vote is zero but for rounding: 0.1 a + 0.2 a - 0.3 a."""
    base, finetunes = random_models((30, 41))
    finetunes["c"] = finetunes["b"] = finetunes["a"]
    other = {task: finetunes[task] for task in ("c", "a", "b")}
    expected = merged_by(rule, base, finetunes, ROWS)
    assert torch.equal(merged_by(rule, base, other, [[c, a, b] for a, b, c in ROWS]), expected)


@pytest.mark.parametrize(("tile", "threads"), [(64, 1), (192, 2), (1 << 17, 2)])
def test_tiles_and_threads_change_no_bit(rule, tile, threads, monkeypatch):
    base, finetunes = random_models((30, 41))
    expected = merged_by(rule, base, finetunes, ROWS)
    monkeypatch.setattr(tiles, "TILE", tile)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert torch.equal(merged_by(rule, base, finetunes, ROWS), expected)
    finally:
        torch.set_num_threads(before)


def test_results_are_rounded_once(rule):
    base, finetunes = random_models((30, 41))
    exact = merged_by(rule, base, finetunes, ROWS, out_dtype=torch.float32)
    assert torch.equal(merged_by(rule, base, finetunes, ROWS, out_dtype=torch.bfloat16), exact.bfloat16())


def test_sums_in_float64_are_those_of_float64_inputs(rule):
    """So are the magnitudes that decide what is kept."""
    base, finetunes = random_models((30, 41))
    double = merged_by(rule, base.double(), {task: tensor.double() for task, tensor in finetunes.items()}, ROWS)
    inputs = collect_inputs(
        {task: {"w": tensor} for task, tensor in finetunes.items()}, base={"w": base}, accumulate=torch.float64
    )
    out = {"w": torch.empty_like(double)}
    list(rule.merge_block(rule.prepare(inputs), torch.tensor(ROWS, dtype=torch.float64), "w", out))
    assert torch.equal(out["w"], double)


@pytest.mark.parametrize("kind", [Dare, Breadcrumbs, Della])
@pytest.mark.parametrize("settings", [{}, {"scale": 0.7}, {"normalize": True}])
def test_where_nothing_is_dropped_it_is_task_arithmetic(kind, settings):
    base, finetunes = random_models((5, 7))
    rule = kind(density=1.0, **{"elect_signs": False, "normalize": False, **settings})
    rows = [[1.0, 0.5, 0.25], [0.0, 0.0, 1.0]]
    expected = merged_by(TaskArithmetic(**settings), base, finetunes, rows)
    assert torch.equal(merged_by(rule, base, finetunes, rows), expected)


@pytest.mark.parametrize("kind", [Dare, Breadcrumbs, Della])
def test_where_nothing_is_dropped_signs_are_elected_as_in_ties(kind):
    base, finetunes = random_models((5, 7))
    rule = kind(density=1.0, elect_signs=True, normalize=True)
    assert torch.equal(merged_by(rule, base, finetunes, ROWS), merged_by(Ties(1.0), base, finetunes, ROWS))


@pytest.mark.parametrize("kind", [Dare, Breadcrumbs, Della])
def test_a_task_of_density_one_keeps_all_beside_one_that_does_not(kind):
    base, finetunes = random_models((50, 70), torch.float32)
    settings = {"density": {"a": 1.0, "b": 0.5, "c": 0.5}, "elect_signs": False, "normalize": False}
    found = merged_by(kind(**settings), base, finetunes, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(found[0], finetunes["a"].double(), rtol=0, atol=1e-6)
    assert 0.45 < float((found[1] == base).double().mean()) < 0.55


@pytest.mark.parametrize("elect", [False, True])
def test_coefficients_that_sum_to_zero_are_refused_or_not_divided_by(elect):
    base, finetunes = eighths((20,), 2, 0)
    rule = Dare(0.999, elect_signs=elect, normalize=True, rescale=False)
    if not elect:
        with pytest.raises(WeightsError, match="coefficients that sum to zero cannot be normalised"):
            merged_by(rule, base, finetunes, [[0.5, -0.5]])
        return
    plain = merged_by(replace(rule, normalize=False), base, finetunes, [[0.5, -0.5]])
    found = merged_by(rule, base, finetunes, [[0.5, -0.5]])
    deltas = deltas_of(base, finetunes)
    both = torch.from_numpy((deltas[0] * deltas[1] < 0) & (deltas != 0).all(0))
    assert both.any()
    assert torch.equal(found[0][both], plain[0][both]), "both agree, and their weights sum to zero"


class _Tripled:
    """A trim that keeps all and rescales the second task."""

    factors = (1.0, 3.0)

    def apply(self, number, delta, start, spare):
        spare.fill_(float("nan"))


@pytest.mark.parametrize("elect", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_factors_count_in_sums_and_votes_but_not_in_the_divisor(elect, normalize):
    base, finetunes = eighths((200,), 2, 1)
    inputs: Inputs = collect_inputs({task: {"w": tensor} for task, tensor in finetunes.items()}, base={"w": base})
    state, row = TaskVectors.of(inputs), [0.5, 0.25]
    out = torch.empty(1, 200, dtype=torch.float64)
    values = torch.tensor([row], dtype=torch.float64)
    merge_task_vectors(state, state.read("w"), values, out, _Tripled(), 2.0, elect, normalize)
    expected = combine(base, deltas_of(base, finetunes), row, 2.0, elect, normalize, factors=(1.0, 3.0))
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-14)


def test_broken_numbers_come_through(rule):
    """A NaN in a finetune must not vanish in a merge, whatever is dropped, and stays where it is."""
    base, finetunes = random_models((10, 20), torch.float32)
    inputs = collect_inputs({task: {"w": tensor} for task, tensor in finetunes.items()}, base={"w": base})
    finetunes["b"][2, 3] = torch.nan  # as in a checkpoint that is read lazily, and not checked
    out = {"w": torch.empty(1, 10, 20)}
    list(rule.merge_block(rule.prepare(inputs), torch.ones(1, 3, dtype=torch.float64), "w", out))
    assert out["w"].isnan().nonzero().tolist() == [[0, 2, 3]]
