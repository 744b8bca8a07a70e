from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paretomerge.arithmetic import TILE, sweep, tiles, weighted_sum

SMALL = 8
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def small_tiles() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE", SMALL)
        patch.setattr(tiles, "SERIAL", 0)
        yield


def summed(values: Tensor, sources: list[Tensor], out: Tensor, dtype: torch.dtype) -> Tensor:
    sweep(sources, out, lambda each, target, start: weighted_sum(values, each, target), dtype)
    return out


def in_new_thread(call):
    found = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(60)
    assert found, "the thread did not finish"
    return found[0]


LAYOUTS = {
    "contiguous": lambda draw, n: draw(n),
    "every other": lambda draw, n: draw(2 * n)[::2],
    "backwards in memory": lambda draw, n: draw(n, 3).T[1],
    "expanded": lambda draw, n: draw(1).expand(n),
    "an offset": lambda draw, n: draw(n + 5)[5:],
}


@st.composite
def problems(draw: st.DrawFn):
    size = draw(st.sampled_from([0, 1, 3, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL, 3 * SMALL + 2]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    count, terms = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 3, 5, 17]))
    random = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    sources = [
        LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](random, size).to(draw(st.sampled_from(DTYPES)))
        for _ in range(terms)
    ]
    if draw(st.booleans()):  # rows of one matrix, which may be the operand of a product as they are
        sources = list(random(terms, 2 * size)[:, :: draw(st.sampled_from([1, 2]))][:, :size].float())
    values = random(count, terms)
    spare = draw(st.sampled_from([0, 3]))
    out = random(count, size + spare).to(draw(st.sampled_from(DTYPES)))[:, :size]
    return values, sources, out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(max_examples=80)
@given(problem=problems(), count=st.sampled_from([1, 2, 3]))
def test_a_sweep_is_the_naive_expression_rounded_once(dtype, problem, count):
    values, sources, out = problem
    copies = [source.clone() for source in sources]
    stacked = torch.stack([source.double() for source in sources])
    truth, size = values @ stacked, values.abs() @ stacked.abs()
    with small_tiles(), threads(count):
        summed(values, sources, out, dtype)
    slack = 3 * len(sources) * torch.finfo(dtype).eps * size
    # one rounding, and half the distance to the next subnormal number of float16
    rounding = torch.finfo(out.dtype).eps / 2 * truth.abs() + (2**-25 if out.dtype == torch.float16 else 0)
    assert bool(((out.double() - truth).abs() <= slack + rounding).all())
    assert all(torch.equal(source, copy) for source, copy in zip(sources, copies, strict=True))


def test_several_dimensions_are_one_vector_in_the_order_of_the_indices():
    source = torch.arange(24.0).reshape(2, 3, 4)
    for each in (source, source.transpose(0, 2), source[:, 1:], source.permute(1, 2, 0)):
        with small_tiles():
            out = summed(torch.tensor([[2.0], [0.5]]), [each], torch.empty(2, *each.shape), torch.float32)
        assert torch.equal(out, torch.stack([2 * each, each / 2]))


@pytest.mark.parametrize("out_dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [1, 3])
def test_an_output_that_is_not_contiguous_is_written_where_it_is(out_dtype, count):
    """As the weights of a convolution in the channels-last format, or a transposed matrix."""
    source = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    values = torch.arange(1.0, count + 1)[:, None]
    memory = torch.zeros(count, 2, 2, 4, 3, dtype=out_dtype)
    out = memory.permute(0, 3, 4, 1, 2)
    with small_tiles():
        summed(values, [source], out, torch.float32)
    assert torch.equal(
        memory.permute(0, 3, 4, 1, 2), torch.stack([(k + 1) * source for k in range(count)]).to(out_dtype)
    )


@pytest.mark.parametrize("terms", [3, 17])
@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("size", [1000, TILE + 1, 3 * TILE + 77])
def test_the_number_of_threads_does_not_change_a_bit(size, count, terms):
    generator = torch.Generator().manual_seed(size)
    sources = [torch.randn(size, generator=generator).to((torch.float32, torch.bfloat16)[s % 2]) for s in range(terms)]
    values = torch.randn(count, terms, generator=generator, dtype=torch.float64)
    found = []
    for number in (1, 2, 3):
        with threads(number):
            found.append(summed(values, sources, torch.empty(count, size), torch.float32))
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_each_tile_is_seen_once_with_its_place_and_scratch_of_its_own():
    source = torch.arange(3.0 * SMALL + 2)
    seen, lock = [], threading.Lock()

    def combine(each, out, start):
        tile, *scratch = each
        assert len(scratch) == 2
        assert all(len(spare) == len(tile) for spare in scratch)
        assert out.shape == (0, len(tile))
        assert tile.dtype == torch.float64
        assert torch.equal(tile, source[start : start + len(tile)].double())
        scratch[0].fill_(start)
        scratch[1].fill_(-start)
        assert torch.equal(tile, source[start : start + len(tile)].double())
        with lock:
            seen.append((start, len(tile)))

    for number in (1, 3):
        seen.clear()
        with small_tiles(), threads(number):
            sweep([source], None, combine, torch.float64, scratch=2)
        assert sorted(seen) == [(0, 8), (8, 8), (16, 8), (24, 2)]


def test_tiles_of_the_right_dtype_are_not_copied():
    source = torch.arange(5.0)

    def combine(each, out, start):
        assert each[0].data_ptr() == source.data_ptr()
        assert out.data_ptr() == target.data_ptr()
        out.copy_(each[0])

    target = torch.empty(1, 5)
    sweep([source], target, combine, torch.float32)
    assert torch.equal(target[0], source)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("place", [0, 3])
def test_an_error_in_a_tile_comes_through_when_no_thread_is_at_work_any_more(number, place):
    running, most, lock = [0], [0], threading.Lock()

    def combine(each, out, start):
        with lock:
            running[0] += 1
            most[0] += 1
        try:
            if start == place * SMALL:
                raise ZeroDivisionError("in the tile")
            threading.Event().wait(0.02)
        finally:
            with lock:
                running[0] -= 1

    with small_tiles(), threads(number):
        with pytest.raises(ZeroDivisionError, match="in the tile"):
            sweep([torch.zeros(6 * SMALL)], None, combine, torch.float32)
        assert running[0] == 0
        # and the next sweep works
        assert summed(torch.ones(1, 1), [torch.ones(20)], torch.empty(1, 20), torch.float32).sum() == 20


def numbers_inside() -> set[int]:
    seen = set()
    sweep([torch.zeros(100)], None, lambda *given: seen.add(torch.get_num_threads()), torch.float32)
    return seen


def test_the_number_of_threads_is_as_it_was_here_and_in_new_threads(monkeypatch):
    monkeypatch.setattr(tiles, "_workers", {})  # they are made once, and that is when it could change
    for number in (3, 2, 3):
        with threads(number):
            with small_tiles():
                assert numbers_inside() == {1}
            assert torch.get_num_threads() == number
            assert in_new_thread(torch.get_num_threads) == number


def test_a_thread_with_another_number_of_threads_keeps_it_and_that_of_new_threads(monkeypatch):
    monkeypatch.setattr(tiles, "_workers", {})
    ready, done = threading.Event(), threading.Event()
    found = {}

    def other():
        torch.get_num_threads()  # before that a thread has no number of its own to set
        torch.set_num_threads(3)
        ready.set()
        done.wait(60)
        with small_tiles():
            summed(torch.ones(1, 1), [torch.ones(99)], torch.empty(1, 99), torch.float32)
        found["own"] = torch.get_num_threads()

    with threads(1):
        thread = threading.Thread(target=other)
        thread.start()
        assert ready.wait(60)
        torch.set_num_threads(2)  # the last one that anybody sets is that of new threads
        done.set()
        thread.join(60)
        assert found == {"own": 3}
        assert torch.get_num_threads() == 2
        assert in_new_thread(torch.get_num_threads) == 2


def test_threads_with_different_numbers_of_threads_do_not_disturb_each_other():
    failed = []

    def work(number):
        torch.get_num_threads()
        torch.set_num_threads(number)
        try:
            for _ in range(30):
                out = summed(torch.ones(1, 2), [torch.ones(50)] * 2, torch.empty(1, 50), torch.float32)
                assert bool((out == 2).all())
        except BaseException as error:
            failed.append(error)

    with threads(1), small_tiles():
        working = [threading.Thread(target=work, args=(number,)) for number in (2, 3)]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join(60)
    assert not failed


def test_a_sweep_inside_a_tile_runs_in_the_thread_of_the_tile():
    def combine(each, out, start):
        inner = summed(torch.full((1, 1), 3.0), [each[0]], torch.empty(1, len(each[0])), torch.float32)
        out.copy_(inner)

    out = torch.empty(1, 50)
    with small_tiles(), threads(2):
        sweep([torch.ones(50)], out, combine, torch.float32)
    assert bool((out == 3).all())


def test_a_small_tensor_is_not_handed_to_another_thread():
    seen = []

    def note(*given):
        seen.append(threading.current_thread())

    with threads(2):
        sweep([torch.zeros(tiles.SERIAL)], None, note, torch.float32)
        assert seen == [threading.current_thread()]
        sweep([torch.zeros(tiles.SERIAL + 1)], None, note, torch.float32)
        assert seen[1] is not threading.current_thread()
    with threads(1):
        sweep([torch.zeros(tiles.SERIAL + 1)], None, note, torch.float32)
        assert seen[2] is threading.current_thread()


def test_inference_mode_holds_in_all_threads():
    with small_tiles(), threads(2), torch.inference_mode():
        out = summed(torch.ones(1, 1), [torch.ones(50)], torch.empty(1, 50), torch.float32)
        assert bool((out == 1).all())
        many = summed(torch.ones(3, 2), [torch.ones(50).half()] * 2, torch.empty(3, 50), torch.float32)
        assert bool((many == 2).all())


def test_parameters_that_want_gradients_are_read_and_written():
    source, out = torch.ones(4, requires_grad=True), torch.zeros(1, 4, requires_grad=True)
    summed(torch.full((1, 1), 2.0), [source], out, torch.float32)
    assert out.tolist() == [[2.0] * 4]
    assert out.grad_fn is None


FORKED = """
import os, sys, torch
from paretomerge.arithmetic import sweep, tiles, weighted_sum
tiles.TILE = 8
tiles.SERIAL = 0
torch.set_num_threads(2)

def run():
    out = torch.empty(1, 100)
    sweep([torch.ones(100)] * 2, out, lambda each, target, start: weighted_sum(torch.ones(1, 2), each, target),
          torch.float32)
    return bool((out == 2).all())

assert run()
child = os.fork()
if child == 0:
    os._exit(0 if run() and run() else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or not run())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_a_fork_the_threads_are_made_anew():
    subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=True)
