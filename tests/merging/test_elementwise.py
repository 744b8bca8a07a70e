"""Diagonal precisions: each path against float64, from the smallest to the largest numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.arithmetic import round_into, tiles
from paretomerge.errors import PosteriorError
from paretomerge.merging import Averaging, PosteriorMerge, TaskArithmetic, collect_inputs, merge, merge_blocks
from paretomerge.merging.elementwise import UNINFORMED, _DiagonalTile, merge_elementwise
from paretomerge.posteriors import Diagonal, Elementwise, Isotropic

EPS = torch.finfo(torch.float32).eps
LOST = torch.finfo(torch.float32).tiny ** 0.5  # of a mean, where a product with it underflows


def exact(weights, precisions, means):
    """The formula in rational arithmetic, element by element; and `Σ |α h m| / Σ α h`, the scale of its rounding."""
    merged, sizes = [], []
    for columns in zip(zip(*precisions, strict=True), zip(*means, strict=True), strict=True):
        a, h, m = ([Fraction(value) for value in values] for values in (weights, *columns))
        total = sum(w * p for w, p in zip(a, h, strict=True))
        shares = [w * p / total for w, p in zip(a, h, strict=True)] if total else [w / sum(a) for w in a]
        merged.append(float(sum(s * x for s, x in zip(shares, m, strict=True))))
        sizes.append(float(sum(abs(s * x) for s, x in zip(shares, m, strict=True))))
    return merged, sizes


def merged_by(precisions, means, weights, accumulate=None, out_dtype=None):
    """`[K, n]`, and what was counted."""
    naturals = [Elementwise(h, m) for h, m in zip(precisions, means, strict=True)]
    inputs = collect_inputs({f"task{t}": {"w": mean} for t, mean in enumerate(means)}, accumulate=accumulate)
    weights = torch.tensor(weights, dtype=torch.float64)
    out = torch.full((len(weights), *means[0].shape), torch.nan, dtype=out_dtype or means[0].dtype)
    merge_elementwise(inputs, naturals, weights, out)
    return out, inputs.tally.counts.get(UNINFORMED, 0)


def require_close(out, weights, precisions, means, terms=8):
    for row, alpha in zip(out, weights, strict=True):
        truth, sizes = exact(alpha, [p.tolist() for p in precisions], [m.tolist() for m in means])
        for found, expected, size in zip(row.tolist(), truth, sizes, strict=True):
            assert abs(found - expected) <= terms * EPS * size + LOST, (found, expected)


MAGNITUDES = st.one_of(st.just(0.0), st.floats(-40, 30).map(lambda exponent: 10.0**exponent), st.floats(1e-3, 1e3))


@settings(max_examples=150)
@given(data=st.data(), terms=st.integers(1, 4), count=st.integers(1, 3), size=st.integers(1, 6))
def test_any_precisions_give_the_formula_to_a_few_units_in_the_last_place(data, terms, count, size):
    numbers = st.lists(MAGNITUDES, min_size=size, max_size=size)
    precisions = [torch.tensor(data.draw(numbers), dtype=torch.float32) for _ in range(terms)]
    values = st.lists(st.floats(-10, 10, width=32), min_size=size, max_size=size)
    means = [torch.tensor(data.draw(values)) for _ in range(terms)]
    rows = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=terms, max_size=terms)
    weights = [data.draw(rows.filter(any)) for _ in range(count)]
    out, counted = merged_by(precisions, means, weights)
    require_close(out, weights, precisions, means, 4 * terms)
    known = [torch.stack([h for w, h in zip(row, precisions, strict=True) if w]).amax(0) > 0 for row in weights]
    assert counted == sum(int((~each).sum()) for each in known)


@pytest.mark.parametrize("magnitude", [1e-40, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e38])
def test_the_fast_and_the_general_path_agree(magnitude):
    """One weighting takes the fast path, two the general one; only ratios of precisions count."""
    generator = torch.Generator().manual_seed(1)
    precisions = [(torch.rand(1000, generator=generator) + 0.1) * magnitude for _ in range(3)]
    means = [torch.randn(1000, generator=generator) for _ in range(3)]
    weights = [[0.2, 0.3, 0.5], [0.6, 0.0, 0.4]]
    together, _ = merged_by(precisions, means, weights)
    require_close(together, weights, precisions, means)
    for row, alpha in zip(together, weights, strict=True):
        alone, counted = merged_by(precisions, means, [alpha])
        require_close(alone, [alpha], precisions, means)
        torch.testing.assert_close(alone[0], row, rtol=1e-5, atol=1e-6)
        assert counted == 0


def test_one_bad_element_sends_only_its_tile_the_general_way(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 4)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    precisions = [torch.tensor([1.0] * 4 + [0.0] + [1.0] * 7), torch.tensor([3.0] * 4 + [0.0] + [3.0] * 7)]
    means = [torch.zeros(12), torch.ones(12)]
    out, counted = merged_by(precisions, means, [[0.5, 0.5]])
    assert out[0].tolist() == [0.75] * 4 + [0.5] + [0.75] * 7
    assert counted == 1


@pytest.mark.parametrize("alone", [True, False])
def test_a_task_without_weight_is_absent_however_sure_it_is(alone):
    """On the scale of the sure one the others would vanish, and infinity times zero is no number."""
    sure, small = torch.tensor([1e30, 1e30, 0.0, 1e30]), torch.tensor([1e-40, 1e-20, 1e-40, 0.0])
    precisions, means = [sure, small, 3 * small], [torch.full((4,), 9.0), torch.zeros(4), torch.ones(4)]
    weights = [[0.0, 0.5, 0.5]] if alone else [[0.0, 0.5, 0.5], [0.5, 0.25, 0.25], [0.0, 0.25, 0.75]]
    out, counted = merged_by(precisions, means, weights)
    require_close(out, weights, precisions, means)
    assert out[0].tolist() == pytest.approx([0.75, 0.75, 0.75, 0.5], rel=1e-6)
    assert counted == (1 if alone else 2)


@pytest.mark.parametrize("gap", range(30, 46))
def test_beside_a_sure_task_without_weight_no_digits_are_lost(gap):
    """Where the others are just above the smallest numbers on its scale, they would keep a few digits only."""
    generator = torch.Generator().manual_seed(gap)
    small = [(torch.rand(50, generator=generator) + 0.5) * 10.0 ** (20 - gap) for _ in range(2)]
    precisions = [torch.full((50,), 1e20), *small]
    means = [torch.randn(50, generator=generator) for _ in range(3)]
    weights = [[0.0, 0.3, 0.7], [0.2, 0.4, 0.4]]
    out, counted = merged_by(precisions, means, weights)
    require_close(out, weights, precisions, means)
    assert counted == 0


def test_ordinary_precisions_take_the_fast_path(monkeypatch):
    def general(*given):
        raise AssertionError("the general path")

    monkeypatch.setattr(_DiagonalTile, "_merge_all", general)
    generator = torch.Generator().manual_seed(2)
    precisions = [torch.rand(100, generator=generator) + 1e-3 for _ in range(3)]
    means = [torch.randn(100, generator=generator) for _ in range(3)]
    out, _ = merged_by(precisions, means, [[0.2, 0.3, 0.5]])
    require_close(out, [[0.2, 0.3, 0.5]], precisions, means)
    with pytest.raises(AssertionError, match="the general path"):
        merged_by([each * 0 for each in precisions], means, [[0.2, 0.3, 0.5]])


def test_where_only_tasks_without_weight_know_anything_the_weighted_average_is_taken_and_counted():
    precisions, means = [torch.tensor([5.0, 5.0]), torch.tensor([0.0, 1.0])], [torch.zeros(2), torch.ones(2)]
    out, counted = merged_by(precisions, means, [[0.0, 1.0]])
    assert out[0].tolist() == [1.0, 1.0]
    assert counted == 1
    out, counted = merged_by([torch.zeros(2)] * 2, means, [[0.25, 0.75], [0.5, 0.5]])
    assert out.tolist() == [[0.75, 0.75], [0.5, 0.5]]
    assert counted == 4


def test_the_summary_of_a_merge_counts_all_its_tensors():
    posteriors = {
        task: Diagonal({"v": torch.ones(3), "w": torch.ones(2)}, {"v": torch.zeros(3), "w": torch.tensor([0.0, 1.0])})
        for task in "ab"
    }
    inputs = collect_inputs(posteriors)
    assert dict(inputs.tally.counts) == {}
    for _ in merge_blocks(inputs, [0.5, 0.5], PosteriorMerge()):
        pass
    assert dict(inputs.tally.counts) == {UNINFORMED: 4}


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("weight", [2.0, 5.0])
def test_a_prior_that_is_subtracted_must_leave_something(weight, batch):
    prior = Diagonal({"w": torch.zeros(3)}, {"w": torch.ones(3)})
    weights = [[weight], [0.5]] if batch else [weight]
    enough = (weight - 1) / weight
    for precision, good in ((enough * 1.01, True), (enough * 0.99, False), (0.0, False)):
        posterior = Diagonal({"w": torch.ones(3)}, {"w": torch.tensor([1.0, precision, 1.0])})
        if not good:
            with pytest.raises(PosteriorError, match="the merged precision is not positive: with weights that sum to"):
                merge({"a": posterior}, weights, prior=prior)
            continue
        found = merge({"a": posterior}, weights, prior=prior)
        element = (found[0] if batch else found)["w"][1].item()
        total = weight * precision + 1 - weight
        assert element == pytest.approx(weight * precision / total, rel=1e-3)


def test_where_neither_task_nor_prior_know_anything_a_subtracted_prior_is_averaged():
    nothing = {"w": torch.zeros(1)}
    found = merge({"a": Diagonal({"w": torch.ones(1)}, nothing)}, [2.0], prior=Diagonal(nothing, nothing))
    assert found["w"].item() == 2.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_in_float64_give_the_correctly_rounded_result(dtype):
    generator = torch.Generator().manual_seed(3)
    size = 20_000
    means = [torch.randn(size, generator=generator).to(dtype) for _ in range(3)]
    precisions = [torch.rand(size, generator=generator) + 1e-3 for _ in range(3)]
    weights = [0.2, 0.3, 0.5]
    wide = [(h.double(), m.double()) for h, m in zip(precisions, means, strict=True)]
    total = sum(w * h for w, (h, _) in zip(weights, wide, strict=True))
    truth = sum(w * h * m for w, (h, m) in zip(weights, wide, strict=True)) / total
    exact_out, _ = merged_by(precisions, means, [weights], torch.float64)
    rough, _ = merged_by(precisions, means, [weights])
    correct = torch.empty(size, dtype=dtype)
    round_into(correct, truth)
    assert torch.equal(exact_out[0], correct)
    steps = (rough[0].view(torch.int16).int() - correct.view(torch.int16).int()).abs()
    steps = steps[correct.abs() > 0.01]  # where nothing cancels, the bit pattern counts the numbers in between
    assert int(steps.max()) <= 1
    assert float((steps == 0).float().mean()) > 0.99


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rule", [Averaging(), TaskArithmetic(), PosteriorMerge()], ids=repr)
def test_every_rule_rounds_its_float64_sum_once(rule, dtype):
    generator = torch.Generator().manual_seed(4)
    draw = lambda: {"w": torch.randn(20_000, generator=generator).to(dtype)}  # noqa: E731
    share = round(0.3 * 2**20) / 2**20  # of few bits, so that the sum is exact in float64 in any order
    base, tasks, weights = draw(), {"a": draw(), "b": draw()}, [share, 1 - share]
    found = merge(tasks, weights, rule=rule, base=base, accumulate=torch.float64)["w"]
    total = share * tasks["a"]["w"].double() + (1 - share) * tasks["b"]["w"].double()
    correct = torch.empty(20_000, dtype=dtype)
    round_into(correct, total)
    assert torch.equal(found, correct)
    assert not torch.equal(found, total.to(dtype))  # which rounds twice
    rough = merge(tasks, weights, rule=rule, base=base)["w"]
    steps = (rough.view(torch.int16).int() - found.view(torch.int16).int()).abs()[found.abs() > 0.05]
    assert int(steps.max()) <= 1


def test_isotropic_precisions_are_one_share_for_each_task():
    means = {
        "a": {"w": torch.tensor([0.0, 1.0]), "s": torch.tensor(0.0)},
        "b": {"w": torch.ones(2), "s": torch.ones(())},
    }
    found = merge({task: Isotropic(mean, 1.0 if task == "a" else 3.0) for task, mean in means.items()}, [0.5, 0.5])
    assert found["w"].tolist() == [0.75, 1.0]
    assert found["s"].item() == 0.75


def test_dtypes_of_mean_and_precision_may_differ():
    means = [torch.tensor([0.0, 1.0]).bfloat16(), torch.tensor([4.0, 3.0]).bfloat16()]
    precisions = [torch.tensor([1.0, 1.0], dtype=torch.float64), torch.tensor([3.0, 1.0]).half()]
    out, _ = merged_by(precisions, means, [[0.5, 0.5]], out_dtype=torch.float32)
    assert out[0].tolist() == [3.0, 2.0]


def test_nothing_merges_to_nothing():
    out, counted = merged_by([torch.ones(0, 3)] * 2, [torch.ones(0, 3)] * 2, [[0.5, 0.5], [1.0, 0.0]])
    assert out.shape == (2, 0, 3)
    assert counted == 0
