from __future__ import annotations

import math
import os
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.checkpoints import CheckpointWriter, WriteBehind, open_checkpoint
from paretomerge.checkpoints.streams.write_behind import require_finite_output
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import TensorSpec

SPECS = {
    "a": TensorSpec((3, 4), torch.float32),
    "b": TensorSpec((), torch.float32),
    "c": TensorSpec((100,), torch.bfloat16),
    "d": TensorSpec((0, 2), torch.float16),
    "n": TensorSpec((2,), torch.int64),
}


class Kept:
    """A writer that keeps what it gets, slowly or not at all on request."""

    def __init__(self, seconds=0.0, error=None, at="c"):
        self.seconds, self.error, self.at, self.tensors = seconds, error, at, {}

    def write(self, name, tensor):
        time.sleep(self.seconds)
        if self.error is not None and name == self.at:
            raise self.error
        self.tensors[name] = tensor.clone()


def value_of(name, k):
    spec = SPECS[name]
    return torch.full(spec.shape, 10 * k + ord(name) - ord("a") + 1).to(spec.dtype)


def put_all(out, count, names=SPECS):
    for name in names:
        target = out[name]
        assert target.shape == (count, *SPECS[name].shape)
        assert target.dtype == SPECS[name].dtype
        for k in range(count):
            target[k] = value_of(name, k)
        out.put(name, target)


def within(seconds, call):
    outcome = {}

    def run():
        try:
            outcome["value"] = call()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "deadlock"
    if "error" in outcome:
        raise outcome["error"]


@settings(max_examples=25)
@given(
    count=st.integers(1, 3),
    budget=st.sampled_from([1, 100, 500, 10**6]),
    order=st.permutations(list(SPECS)),
    seconds=st.sampled_from([0.0, 0.0005]),
)
def test_every_writer_gets_its_model_whatever_the_budget(count, budget, order, seconds):
    writers = [Kept(seconds) for _ in range(count)]

    def run():
        with WriteBehind(writers, SPECS, budget) as out:
            assert list(out) == list(SPECS)
            assert len(out) == len(SPECS)
            put_all(out, count, order)
            out.finish()

    within(20, run)
    for k, writer in enumerate(writers):
        assert list(writer.tensors) == list(order)
        assert all(torch.equal(tensor, value_of(name, k)) for name, tensor in writer.tensors.items())


def test_the_next_tensor_is_computed_while_the_last_is_written_within_the_budget():
    """Two tensors of 200 bytes fit, so the third waits for the first."""
    specs = {name: TensorSpec((50,), torch.float32) for name in "abc"}
    gate, seen = threading.Event(), []

    class Slow(Kept):
        def write(self, name, tensor):
            assert gate.wait(20)
            seen.append(name)

    def run():
        with WriteBehind([Slow()], specs, 400) as out:
            for name in "ab":
                target = out[name]
                target.zero_()
                out.put(name, target)
            assert seen == []
            third = threading.Thread(target=lambda: out["c"], daemon=True)
            third.start()
            third.join(0.05)
            assert third.is_alive()
            gate.set()
            third.join(20)
            assert not third.is_alive()

    within(20, run)


@pytest.mark.parametrize("error", [StorageError("the disk is full"), CheckpointError("bad"), KeyError("k"), OSError(5)])
@pytest.mark.parametrize("when", ["put", "finish"])
def test_an_error_of_the_writing_thread_surfaces_with_the_next_put_or_at_the_end(when, error):
    writers = [Kept(), Kept(error=error, at="a")]

    def run():
        with WriteBehind(writers, SPECS, 10**6) as out:
            put_all(out, 2, ["a"])
            if when == "put":
                end = time.monotonic() + 20
                while out._error is None and time.monotonic() < end:
                    time.sleep(0.001)
                with pytest.raises(type(error)) as caught:
                    put_all(out, 2, ["b"])
                assert caught.value is error
            with pytest.raises(type(error)) as caught:
                out.finish()
            assert caught.value is error
            raise error

    with pytest.raises(type(error)):
        within(20, run)
    assert set(writers[0].tensors) == {"a"}
    assert not any("b" in writer.tensors for writer in writers)


def test_after_an_error_there_is_room_all_the_same():
    """Whoever waits for room would otherwise never hear of the error."""
    writer = Kept(seconds=0.005, error=StorageError("full"), at="a")

    def run():
        with WriteBehind([writer], SPECS, 1) as out:
            for name in "abcn":
                put_all(out, 1, [name])

    with pytest.raises(StorageError, match="full"):
        within(20, run)


def test_leaving_with_an_error_forgets_what_waits():
    writer, gate = Kept(), threading.Event()
    write = writer.write

    def slow(name, tensor):
        assert gate.wait(20)
        write(name, tensor)

    writer.write = slow

    def run():
        with WriteBehind([writer], SPECS, 10**6) as out:
            put_all(out, 1)
            threading.Timer(0.05, gate.set).start()
            raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        within(20, run)
    assert set(writer.tensors) <= {"a"}
    assert not [thread for thread in set(threading.enumerate()) - before if not isinstance(thread, threading.Timer)]


def test_checkpoints_that_are_written_behind_are_removed_after_an_error(tmp_path):
    specs = {name: spec for name, spec in SPECS.items() if name != "d"}

    def run(poison):
        with (
            CheckpointWriter(tmp_path / "1", specs) as one,
            CheckpointWriter(tmp_path / "2", specs) as two,
            WriteBehind([one, two], specs, 100) as out,
        ):
            for name in specs:
                target = out[name]
                target.copy_(torch.stack([value_of(name, 0), value_of(name, 1)]))
                if poison == name:
                    target[1].fill_(torch.inf)
                out.put(name, target)
            out.finish()
            one.commit()
            two.commit()

    with pytest.raises(CheckpointError, match="the merged 'c' has NaN or infinite entries"):
        within(20, lambda: run("c"))
    assert os.listdir(tmp_path) == []
    within(20, lambda: run(None))
    for k in range(2):
        opened = open_checkpoint(tmp_path / str(k + 1))
        assert all(torch.equal(opened[name], value_of(name, k)) for name in specs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_refused_wherever_it_is(dtype, value):
    for place in (0, 57, 99):
        merged = torch.ones(2, 50, dtype=dtype)
        require_finite_output("w", merged)
        merged.view(-1)[place] = value
        overflowed = dtype == torch.float16 and not math.isnan(value)
        message = (
            "'w' holds values above 65504, more than float16 can hold: write in bfloat16 or float32"
            if overflowed
            else "the merged 'w' has NaN or infinite entries: a finetune diverged or overflowed its dtype"
        )
        with pytest.raises(CheckpointError, match=message):
            require_finite_output("w", merged)


def test_infinite_and_nan_together_in_float16_is_no_overflow():
    merged = torch.tensor([[torch.inf, torch.nan]], dtype=torch.float16)
    with pytest.raises(CheckpointError, match="has NaN or infinite entries"):
        require_finite_output("w", merged)


def test_integers_and_nothing_are_finite():
    require_finite_output("n", torch.tensor([[2**62]]))
    require_finite_output("flag", torch.tensor([[True]]))
    require_finite_output("d", torch.zeros(2, 0))
    require_finite_output("largest", torch.tensor([[65504.0]], dtype=torch.float16))
