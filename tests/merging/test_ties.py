from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merging.naive import combine, deltas_of, eighths, largest, merged_by

from paretomerge.errors import RecipeError, WeightsError
from paretomerge.merging import Ties, merge
from paretomerge.merging.base import collect_inputs
from paretomerge.merging.magnitudes import TrimByMagnitude

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
WEIGHTS = st.sampled_from((-1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 2.0))


@given(
    shape=st.sampled_from(((), (1,), (7,), (3, 5), (2, 3, 4), (40,))),
    tasks=st.integers(1, 5),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
    density=st.one_of(st.floats(0.01, 1.0), st.just(1.0)),
    normalize=st.booleans(),
    data=st.data(),
)
@settings(max_examples=150)
def test_merges_are_those_of_the_naive_twin(shape, tasks, dtype, seed, density, normalize, data):
    """With equal magnitudes at the threshold, votes of zero, and weights of any sign."""
    base, finetunes = eighths(shape, tasks, seed)
    base, finetunes = base.to(dtype), {task: tensor.to(dtype) for task, tensor in finetunes.items()}
    rows = [data.draw(st.lists(WEIGHTS, min_size=tasks, max_size=tasks)) for _ in range(3)]
    rule = Ties(density, scale=0.5, normalize=normalize)
    found = merged_by(rule, base, finetunes, rows)
    deltas = deltas_of(base, finetunes)
    deltas = deltas * largest(deltas, [density] * tasks)
    # sums are exact, a division is rounded
    tolerance = 1e-14 if dtype == torch.float64 else 2e-6
    for row, merged in zip(rows, found, strict=True):
        expected = combine(base, deltas, row, 0.5, True, normalize)
        torch.testing.assert_close(merged, expected, rtol=0, atol=tolerance * 10 if normalize else 0)


def test_of_equal_magnitudes_the_first_in_memory_are_kept():
    base = torch.zeros(6)
    finetunes = {"a": torch.tensor([1.0, -2.0, 2.0, 3.0, -2.0, 2.0])}
    assert merged_by(Ties(0.5), base, finetunes, [[1.0]])[0].tolist() == [0, -2, 2, 3, 0, 0]
    assert merged_by(Ties(0.1), base, finetunes, [[1.0]])[0].tolist() == [0, 0, 0, 3, 0, 0], "at least one"
    assert merged_by(Ties(0.999), base, finetunes, [[1.0]])[0].tolist() == [0, -2, 2, 3, -2, 2]


def test_the_vote_is_by_weighted_sums_and_zero_elects_plus():
    base = torch.zeros(4)
    finetunes = {"a": torch.tensor([1.0, 1.0, 2.0, -3.0]), "b": torch.tensor([-1.0, -4.0, 3.0, -1.0])}
    rule = Ties(1.0, normalize=False)
    assert merged_by(rule, base, finetunes, [[1.0, 1.0]])[0].tolist() == [1, -4, 5, -4]
    assert merged_by(rule, base, finetunes, [[1.0, 0.25]])[0].tolist() == [1, 1, 2.75, -3.25]
    assert merged_by(Ties(1.0), base, finetunes, [[1.0, 3.0]])[0].tolist() == [-1, -4, 2.75, -1.5]
    assert merged_by(rule, base, finetunes, [[1.0, -1.0]])[0].tolist() == [2, 5, -3, -3]


def test_each_task_has_its_own_density():
    base = torch.zeros(4)
    finetunes = {"b": torch.tensor([1.0, 2.0, 3.0, 4.0]), "a": torch.tensor([4.0, 3.0, 2.0, 1.0])}
    rule = Ties({"a": 0.25, "b": 0.75}, normalize=False)
    assert merged_by(rule, base, finetunes, [[1.0, 10.0]])[0].tolist() == [40, 2, 3, 4]


def test_thresholds_are_found_once_for_all_weightings(monkeypatch):
    calls = []
    find = TrimByMagnitude.largest

    def counted(*arguments):
        calls.append(1)
        return find(*arguments)

    monkeypatch.setattr(TrimByMagnitude, "largest", counted)
    base, finetunes = eighths((5, 4), 3, 0)
    inputs = collect_inputs(
        {task: {"w": tensor, "v": tensor} for task, tensor in finetunes.items()}, base={"w": base, "v": base}
    )
    rule = Ties()
    state = rule.prepare(inputs)
    for row in ([1.0, 1.0, 1.0], [0.5, -1.0, 2.0]):
        out = {name: torch.empty(1, 5, 4, dtype=torch.float64) for name in "wv"}
        for block in rule.blocks(state):
            list(rule.merge_block(state, torch.tensor([row], dtype=torch.float64), block, out))
        assert torch.equal(out["w"], merged_by(rule, base, finetunes, [row]))
        assert torch.equal(out["v"], out["w"])
    assert len(calls) == 2 + 2, "one for each block, and those of the comparison"


def test_without_a_base_it_is_refused():
    with pytest.raises(WeightsError, match="give `base`"):
        merge({"a": {"w": torch.ones(2)}}, [1.0], rule=Ties())


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5])
def test_a_density_is_a_share(density):
    with pytest.raises(
        RecipeError, match=rf"density is {density:g}: it is the share of elements that is kept, in \(0, 1\]"
    ):
        Ties(density)
    with pytest.raises(RecipeError, match=f"density of 'b' is {density:g}"):
        Ties({"a": 0.5, "b": density})


def test_a_density_for_unknown_tasks_is_refused_before_anything_is_read():
    base, finetunes = eighths((2,), 2, 0)
    with pytest.raises(RecipeError, match="density is not given for 'b'"):
        merge(
            {task: {"w": tensor} for task, tensor in finetunes.items()}, [1, 1], rule=Ties({"a": 0.5}), base={"w": base}
        )
