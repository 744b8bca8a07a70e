from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merging.naive import merged_by

from paretomerge.arithmetic import tiles
from paretomerge.errors import PosteriorError, WeightsError
from paretomerge.merging import Slerp, collect_inputs, merge, slerp
from paretomerge.posteriors import Isotropic


def naive(one: torch.Tensor, other: torch.Tensor, t: float) -> torch.Tensor:
    one, other = one.double(), other.double()
    norms = [norm if norm > 1e-8 else 1.0 for norm in (float(one.norm()), float(other.norm()))]
    cosine = float((one * other).sum()) / norms[0] / norms[1]
    if abs(cosine) > 0.9995:
        return (1 - t) * one + t * other
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * one + math.sin(t * angle) * other) / math.sin(angle)


@given(
    shape=st.sampled_from(((), (1,), (3,), (0,), (4, 5), (100,))),
    dtype=st.sampled_from((torch.float64, torch.float32, torch.bfloat16)),
    apart=st.sampled_from((0.0, 1e-3, 0.03, 0.05, 1.0, 30.0)),
    length=st.sampled_from((0.0, 1e-9, 1e-4, 1.0, 100.0)),
    t=st.floats(0, 1),
    seed=st.integers(0, 100),
)
@settings(max_examples=150)
def test_merges_are_those_of_the_naive_twin(shape, dtype, apart, length, t, seed):
    generator = torch.Generator().manual_seed(seed)
    one, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    other = (length * (one + apart * noise)).to(dtype)
    one = one.to(dtype)
    found = merged_by(Slerp(), one, {"a": one, "b": other}, [[1 - t, t]])[0]
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(found, naive(one, other, t), rtol=0, atol=tolerance * max(1.0, 200 * length))


def test_a_quarter_circle():
    tasks = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 2.0])}}
    half = merge(tasks, {"a": 0.5, "b": 0.5}, rule=Slerp())["w"]
    torch.testing.assert_close(half, torch.full((2,), math.sqrt(2.0)))
    third = merge(tasks, {"a": 2 / 3, "b": 1 / 3}, rule=Slerp())["w"]
    torch.testing.assert_close(third, torch.tensor([math.sqrt(3.0), 1.0]))


@pytest.mark.parametrize(("cosine", "linear"), [(0.99951, True), (0.99949, False), (-0.99951, True), (-0.99949, False)])
def test_nearly_parallel_tensors_are_interpolated_on_a_line(cosine, linear):
    tasks = {"a": {"w": torch.tensor([1.0, 0.0])}, "b": {"w": torch.tensor([cosine, math.sqrt(1 - cosine**2)])}}
    found = merge(tasks, [0.5, 0.5], rule=Slerp())["w"]
    middle = (tasks["a"]["w"] + tasks["b"]["w"]) / 2
    assert torch.allclose(found, middle, atol=1e-6) == linear


def test_zero_tensors_and_opposite_ones_are_no_accident():
    zero, one = torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])
    found = merge({"a": {"w": one}, "b": {"w": zero}}, [0.5, 0.5], rule=Slerp())["w"]
    torch.testing.assert_close(found, one * math.sqrt(0.5))
    assert merge({"a": {"w": zero}, "b": {"w": zero}}, [0.5, 0.5], rule=Slerp())["w"].tolist() == [0.0, 0.0, 0.0]
    assert merge({"a": {"w": one}, "b": {"w": -one}}, [0.5, 0.5], rule=Slerp())["w"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("tile", "threads"), [(64, 1), (64, 2), (100, 2)])
def test_tiles_and_threads_do_not_matter(tile, threads, monkeypatch):
    one, other = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    expected = merged_by(Slerp(), one, {"a": one, "b": other}, [[0.3, 0.7]])
    monkeypatch.setattr(tiles, "TILE", tile)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = merged_by(Slerp(), one, {"a": one, "b": other}, [[0.3, 0.7]])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_angles_are_measured_once_for_all_weightings(monkeypatch):
    calls = []
    measure = slerp._cosine

    def counted(*arguments):
        calls.append(1)
        return measure(*arguments)

    monkeypatch.setattr(slerp, "_cosine", counted)
    tasks = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 2.0])}}
    state = Slerp().prepare(collect_inputs(tasks))
    found = []
    for t in (0.0, 0.5, 1.0):
        out = {"w": torch.empty(1, 2)}
        list(Slerp().merge_block(state, torch.tensor([[1 - t, t]], dtype=torch.float64), "w", out))
        found.append(out["w"][0])
    torch.testing.assert_close(torch.stack(found), torch.tensor([[2, 0], [math.sqrt(2)] * 2, [0, 2]]))
    assert len(calls) == 1


def test_weights_below_a_sum_of_one_are_divided_by_it():
    prior = Isotropic({"w": torch.zeros(2)})
    tasks = {"a": {"w": torch.tensor([2.0, 0.0])}, "b": {"w": torch.tensor([0.0, 2.0])}}
    expected = merge(tasks, [0.25, 0.75], rule=Slerp())["w"]
    assert torch.equal(merge(tasks, [0.1, 0.3], prior=prior, rule=Slerp())["w"], expected)
    with pytest.raises(WeightsError, match="both weights are zero: slerp needs a positive weight"):
        merge(tasks, [0.0, 0.0], prior=prior, rule=Slerp())


@pytest.mark.parametrize("count", [1, 3])
def test_two_tasks_are_needed(count):
    tasks = {task: {"w": torch.ones(2)} for task in "abc"[:count]}
    with pytest.raises(PosteriorError, match=f"slerp interpolates between two finetunes, got {count}"):
        merge(tasks, [1 / count] * count, rule=Slerp())
