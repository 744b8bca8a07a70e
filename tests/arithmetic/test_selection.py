from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paretomerge.arithmetic import Boundary, Wanted, find_boundaries, selection, tiles

KINDS = ("continuous", "bfloat16", "few values", "all equal", "all zero", "sorted", "nan", "infinite")


def differences(kind: str, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """A base and a finetune whose difference is of some kind."""
    generator = torch.Generator().manual_seed(seed)
    origin = torch.randn(size, generator=generator)
    tensor = origin + 0.01 * torch.randn(size, generator=generator)
    if kind == "bfloat16":
        return origin.bfloat16(), tensor.bfloat16()
    if kind == "few values":
        return torch.zeros(size), torch.randint(-3, 4, (size,), generator=generator).float()
    if kind == "all equal":
        return torch.zeros(size), torch.full((size,), -2.5)
    if kind == "all zero":
        return origin, origin.clone()
    if kind == "sorted":
        return torch.zeros(size), torch.linspace(-1, 3, size)
    if kind in ("nan", "infinite"):
        broken = math.nan if kind == "nan" else -math.inf
        return origin, torch.where(torch.rand(size, generator=generator) < 0.3, broken, tensor)
    return origin, tensor


def kept(wanted: Wanted, delta: Tensor) -> Tensor:
    """The naive twin: sort everything, stably; NaN comes last."""
    order = torch.argsort(delta.abs(), descending=wanted.front, stable=True)
    chosen = order[: wanted.above] if wanted.front else order[len(order) - wanted.above :]
    return torch.zeros(len(delta), dtype=torch.bool).index_fill(0, chosen, True)


def assert_boundary(boundary: Boundary, wanted: Wanted, origin: Tensor, tensor: Tensor, dtype: torch.dtype) -> None:
    delta = tensor.to(dtype) - origin.to(dtype)
    found = torch.full_like(delta, 7.0)
    boundary.keep_above(delta, 0, found)
    expected = torch.where(kept(wanted, delta), delta, 0.0)
    number = ~delta.isnan()
    assert torch.equal(found[number], expected[number])
    assert found[~number].isnan().all()


@given(
    kind=st.sampled_from(KINDS),
    size=st.integers(1, 700),
    seed=st.integers(0, 100),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    front=st.booleans(),
    double=st.booleans(),
    small=st.booleans(),
    deviations=st.sampled_from((0, 1, 5)),
    tile=st.sampled_from((1, 50, 64, 1 << 17)),
)
@settings(max_examples=300)
def test_what_is_above_a_boundary_is_what_a_stable_sort_keeps(
    kind, size, seed, shares, front, double, small, deviations, tile
):
    """With brackets and without, with brackets that miss, in tiles of any width."""
    origin, tensor = differences(kind, size, seed)
    other = differences("continuous", size, seed + 1)[1]
    dtype = torch.float64 if double else torch.float32
    wanted = [Wanted(int(share * size), front) for share in shares]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE", tile)
        patch.setattr(tiles, "SERIAL", 0)
        patch.setattr(selection, "SMALL", 1000 if small else 20)
        patch.setattr(selection, "DEVIATIONS", deviations)
        found, others = find_boundaries(origin, [tensor, other], [wanted, wanted[:1]], dtype)
    for each, boundary in zip(wanted, found, strict=True):
        assert_boundary(boundary, each, origin, tensor, dtype)
    assert_boundary(others[0], wanted[0], origin, other, dtype)


@given(
    kind=st.sampled_from(KINDS),
    size=st.integers(1, 300),
    seed=st.integers(0, 100),
    share=st.floats(0, 1),
    front=st.booleans(),
)
@settings(max_examples=60)
def test_operations_on_whole_tensors_find_the_same(kind, size, seed, share, front):
    origin, tensor = differences(kind, size, seed)
    wanted = Wanted(int(share * size), front)
    if 0 < wanted.above < size:
        expected = find_boundaries(origin, [tensor], [[wanted]], torch.float32)
        assert selection._find_in_memory(origin, [tensor], [[wanted]], torch.float32) == expected


@pytest.mark.parametrize("kind", ["continuous", "bfloat16", "few values", "sorted"])
def test_one_pass_is_enough_and_only_a_few_are_collected(kind, monkeypatch):
    origin, tensor = differences(kind, 1 << 20, 0)
    passes, collected = [], []
    look, see = selection._look, selection._Search.look

    def counted(*arguments):
        passes.append(1)
        look(*arguments)

    def watched(search, bits, start):
        see(search, bits, start)
        collected.append(len(search._seen[start].inside))

    monkeypatch.setattr(selection, "_look", counted)
    monkeypatch.setattr(selection._Search, "look", watched)
    wanted = Wanted(len(origin) // 5)
    ((boundary,),) = find_boundaries(origin, [tensor], [[wanted]], torch.float32)
    assert_boundary(boundary, wanted, origin, tensor, torch.float32)
    assert len(passes) == 1
    assert sum(collected) < 0.06 * len(origin)


def test_no_pass_where_everything_or_nothing_is_above(monkeypatch):
    monkeypatch.setattr(selection, "sweep", None)
    origin, tensor = differences("continuous", 50, 0)
    found = find_boundaries(origin, [tensor], [[Wanted(50), Wanted(60), Wanted(0)]], torch.float32)
    assert found == [[selection.EVERYTHING_ABOVE, selection.EVERYTHING_ABOVE, selection.NOTHING_ABOVE]]


def test_a_sample_visits_every_column():
    """Columns of a tensor differ in scale; a step that divides the length of a row would see one of them only."""
    tensor = torch.arange(64.0).repeat(1024, 1)
    sample = selection._sample(torch.zeros_like(tensor), tensor, torch.float32).view(np.float32)
    assert set(sample) == set(range(64))
    assert abs(len(sample) - tensor.numel() ** (2 / 3)) < 0.1 * len(sample)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads, monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 1 << 12)
    monkeypatch.setattr(tiles, "SERIAL", 0)
    origin, tensor = differences("bfloat16", 100_001, 3)
    wanted = [[Wanted(k, front) for k in (1, 20_000, 99_000) for front in (True, False)]]
    expected = find_boundaries(origin, [tensor], wanted, torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert find_boundaries(origin, [tensor], wanted, torch.float32) == expected
    finally:
        torch.set_num_threads(before)
    for each, boundary in zip(wanted[0], expected[0], strict=True):
        assert_boundary(boundary, each, origin, tensor, torch.float32)


def test_inputs_are_untouched_and_shapes_do_not_matter():
    origin, tensor = differences("continuous", 120, 0)
    flat = find_boundaries(origin, [tensor], [[Wanted(30)]], torch.float32)
    origin, tensor = origin.reshape(4, 30), tensor.reshape(4, 30)
    copies = origin.clone(), tensor.clone()
    assert find_boundaries(origin, [tensor], [[Wanted(30)]], torch.float32) == flat
    assert torch.equal(origin, copies[0])
    assert torch.equal(tensor, copies[1])
    scalar = find_boundaries(torch.tensor(1.0), [torch.tensor(2.0)], [[Wanted(1)]], torch.float32)
    assert scalar == [[selection.EVERYTHING_ABOVE]]
