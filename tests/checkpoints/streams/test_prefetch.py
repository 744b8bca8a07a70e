"""Reading ahead changes nothing but the time: whatever the budget, the threads, and the order of asking."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.checkpoints import Prefetch, open_checkpoint, write_params
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.views import select, view
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import TensorSpec

NAMES = tuple(f"w{number}" for number in range(8))


def values(seed):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(10 * number, generator=generator) for number, name in enumerate(NAMES)}


class Disk:
    """A source that reads slowly or not at all on request, and counts."""

    def __init__(self, seed=0, seconds=0.0, error=None, broken=()):
        self.tensors, self.seconds, self.error, self.broken = values(seed), seconds, error, broken
        self.reads, self.buffered = Counter(), Counter()
        self.gate = threading.Event()
        self.gate.set()

    @property
    def names(self):
        return tuple(self.tensors)

    def spec(self, name):
        return TensorSpec(tuple(self.tensors[name].shape), self.tensors[name].dtype)

    def read(self, name, buffer=None):
        self.reads[name] += 1
        time.sleep(self.seconds)
        assert self.gate.wait(20)
        if name in self.broken:
            raise self.error
        tensor = self.tensors[name]
        if buffer is None:
            return tensor.clone()
        self.buffered[name] += 1
        held = buffer[: tensor.numel() * 4].view(torch.float32)
        return held.copy_(tensor)

    def locate(self, name):
        return self, name


def within(seconds, call):
    """`call()` in a thread: a deadlock is a failure, not an endless test."""
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
    return outcome.get("value")


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


def require_stopped(prefetch):
    assert not any(thread.is_alive() for thread in prefetch._threads)
    assert prefetch._pool._in_use == 0 or prefetch._pool._closed


@settings(max_examples=60)
@given(
    budget=st.sampled_from([1, 40, 300, 1000, 10**9]),
    threads=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    models=st.integers(1, 3),
)
def test_any_order_of_asking_and_releasing_gives_the_tensors(budget, threads, seed, models):
    draw = random.Random(seed)
    disks = [Disk(number, seconds=draw.choice([0, 0, 0.0003])) for number in range(models)]

    def run():
        with Prefetch(budget, threads) as prefetch:
            views = [prefetch.view(Checkpoint((disk,))) for disk in disks]
            prefetch.start(draw.sample(NAMES, len(NAMES)))
            for name in draw.sample(NAMES, len(NAMES)):
                tensors = {}
                for number in draw.sample(range(models), models):
                    if draw.random() < 0.9:
                        tensors[number] = views[number][name]
                for number, tensor in tensors.items():
                    assert torch.equal(tensor, disks[number].tensors[name])
                if draw.random() < 0.9:
                    prefetch.release(name)
        require_stopped(prefetch)

    within(20, run)
    assert all(count == 1 for disk in disks for count in disk.reads.values())


@pytest.mark.parametrize("threads", [1, 3])
def test_tensors_are_read_before_they_are_asked_for_as_far_as_the_budget_goes(threads):
    disk = Disk()
    sizes = [4 * disk.tensors[name].numel() for name in NAMES]
    with Prefetch(sum(sizes[:5]) + 1, threads) as prefetch:
        held = prefetch.view(Checkpoint((disk,)))
        prefetch.start(NAMES)
        until(lambda: sum(disk.reads.values()) >= 5)
        time.sleep(0.02)
        assert set(disk.reads) == set(NAMES[:5])
        for name in NAMES[:5]:
            assert torch.equal(held[name], disk.tensors[name])
            prefetch.release(name)
        until(lambda: disk.reads["w5"] == 1)
    assert disk.buffered["w4"] == 1


def test_a_tensor_stays_whole_until_it_is_released():
    """Its memory is used again only then."""
    disk = Disk()
    with Prefetch(10**6, 2) as prefetch:
        held = prefetch.view(Checkpoint((disk,)))
        prefetch.start(NAMES)
        kept = [held[name] for name in NAMES]
        time.sleep(0.02)
        assert all(torch.equal(kept[k], disk.tensors[name]) for k, name in enumerate(NAMES))
        assert held["w3"].data_ptr() == kept[3].data_ptr()


def test_a_tensor_that_views_share_is_read_once_and_kept_until_its_last_name_is_released():
    disk = Disk()
    checkpoint = Checkpoint((disk,))
    tied = view(checkpoint, {"w5": "w5", "w6": "w5", "w7": "w7"})
    within(20, lambda: shared(disk, checkpoint, tied))


def shared(disk, checkpoint, tied):
    with Prefetch(10**6, 2) as prefetch:
        one, other = prefetch.view(select(checkpoint, ["w5", "w7"])), prefetch.view(tied)
        prefetch.start(["w5", "w6", "w7"])
        first = one["w5"]
        assert other["w5"].data_ptr() == first.data_ptr()
        prefetch.release("w5")
        assert other["w6"].data_ptr() == first.data_ptr()
        assert torch.equal(first, disk.tensors["w5"])
        prefetch.release("w6")
        assert torch.equal(one["w7"], other["w7"])
        prefetch.release("w7")
        assert disk.reads == {"w5": 1, "w7": 1}
        # released, it is read again without reading ahead
        assert torch.equal(other["w6"], disk.tensors["w5"])
        assert disk.reads["w5"] == 2
        until(lambda: prefetch._pool._in_use == 0)  # a reader at work gives its buffer back itself


def test_only_wanted_names_are_read():
    disk, other = Disk(1), Disk(2)
    with Prefetch(10**6, 2) as prefetch:
        held = prefetch.view(Checkpoint((disk,)), lambda name: name in ("w2", "w3"))
        prefetch.view(Checkpoint((other,)))
        prefetch.start(["w2", "w4"])
        until(lambda: other.reads["w4"] == 1)
        assert set(disk.reads) <= {"w2"}
        assert torch.equal(held["w4"], disk.tensors["w4"])  # not wanted, and there all the same
        assert disk.buffered["w4"] == 0


@pytest.mark.parametrize("budget", [1, 10**6])
def test_what_is_released_before_it_is_read_is_not_read(budget):
    disk = Disk()
    disk.gate.clear()
    with Prefetch(budget, 1) as prefetch:
        held = prefetch.view(Checkpoint((disk,)))
        prefetch.start(NAMES)
        until(lambda: disk.reads["w0"] == 1)
        for name in NAMES[1:-1]:
            prefetch.release(name)
        prefetch.release("w0")  # it is being read at this moment
        disk.gate.set()
        assert torch.equal(within(20, lambda: held["w7"]), disk.tensors["w7"])
        prefetch.release("w7")
        until(lambda: prefetch._pool._in_use == 0)
    assert set(disk.reads) == {"w0", "w7"}


def test_who_asks_first_does_not_wait_for_a_reader_that_waits_for_memory():
    disk = Disk()

    def run():
        with Prefetch(300, 2) as prefetch:
            held = prefetch.view(Checkpoint((disk,)))
            prefetch.start(NAMES)
            first = held["w7"]  # nothing was released: the readers can go no further
            assert torch.equal(first, disk.tensors["w7"])
            for name in NAMES:
                assert torch.equal(held[name], disk.tensors[name])

    within(20, run)
    assert all(count == 1 for count in disk.reads.values())


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (StorageError("w3 is gone"), StorageError, "^w3 is gone$"),
        (CheckpointError("w3 is broken"), CheckpointError, "^w3 is broken$"),
        (ZeroDivisionError("oops"), StorageError, "cannot read 'w3': ZeroDivisionError: oops"),
    ],
)
def test_an_error_of_a_source_reaches_whoever_asks_for_that_tensor(error, kind, message, threads):
    disk = Disk(error=error, broken=("w3",))

    def run():
        with Prefetch(10**6, threads) as prefetch:
            held = prefetch.view(Checkpoint((disk,)))
            prefetch.start(NAMES)
            for name in NAMES[:3]:
                assert torch.equal(held[name], disk.tensors[name])
                prefetch.release(name)
            until(lambda: disk.reads["w7"] == 1)  # the others are read all the same
            for _ in range(2):
                with pytest.raises(kind, match=message):
                    held["w3"]
            assert torch.equal(held["w4"], disk.tensors["w4"])
            for name in NAMES:
                prefetch.release(name)
            until(lambda: prefetch._pool._in_use == 0)  # a reader at work gives its buffer back itself
            raise KeyError("and leaving with an error stops the threads")

    with pytest.raises(KeyError):
        within(20, run)


@pytest.mark.parametrize("budget", [1, 300, 10**6])
@pytest.mark.parametrize("threads", [1, 3])
def test_leaving_in_the_middle_stops_the_threads(budget, threads):
    disk = Disk(seconds=0.002)

    def run():
        with Prefetch(budget, threads) as prefetch:
            held = prefetch.view(Checkpoint((disk,)))
            prefetch.start(NAMES * 3)
            _ = held["w1"]
            raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        within(20, run)
    assert set(threading.enumerate()) <= before
    reads = sum(disk.reads.values())
    time.sleep(0.02)
    assert sum(disk.reads.values()) == reads


def test_asking_after_the_end_is_an_error_each_time():
    disk = Disk()
    disk.gate.clear()
    with Prefetch(1, 1) as prefetch:
        held = prefetch.view(Checkpoint((disk,)))
        prefetch.start(NAMES)
        until(lambda: disk.reads["w0"] == 1)
        disk.gate.set()
    for _ in range(2):
        with pytest.raises(StorageError, match="'w7' was asked for after reading was stopped"):
            within(20, lambda: held["w7"])


def test_without_start_everything_is_read_when_it_is_asked_for():
    disk = Disk()
    with Prefetch(10**6) as prefetch:
        held = prefetch.view(Checkpoint((disk,)))
        assert torch.equal(held["w1"], disk.tensors["w1"])
        assert disk.reads == {"w1": 1}
        assert disk.buffered == {}


def test_what_is_in_memory_is_not_copied():
    params = values(0)
    opened = open_checkpoint(params)
    with Prefetch(10**6) as prefetch:
        plain, held = prefetch.view(params), prefetch.view(select(opened, NAMES))
        prefetch.start(NAMES)
        for name in NAMES[1:]:
            assert plain[name] is params[name]
            assert held[name].data_ptr() == params[name].data_ptr()
        assert prefetch._pool._held == 0


def test_a_view_says_of_itself_what_the_checkpoint_does():
    disk = Disk()
    with Prefetch(1) as prefetch:
        held = prefetch.view(Checkpoint((disk,)))
        assert list(held) == list(NAMES)
        assert len(held) == len(NAMES)
        assert "w1" in held
        assert "x" not in held
        assert held.spec("w2") == TensorSpec((20,), torch.float32)
        assert disk.reads == {}


def test_without_memory_the_reader_gives_up_and_who_asks_is_told():
    class Huge(Disk):
        def spec(self, name):
            return TensorSpec((1 << 58,), torch.float32) if name == "w3" else super().spec(name)

    disk = Huge()

    def run():
        with Prefetch(1 << 62, 1) as prefetch:
            held = prefetch.view(Checkpoint((disk,)))
            prefetch.start(NAMES)
            until(lambda: not prefetch._threads[0].is_alive())
            for _ in range(2):
                with pytest.raises(StorageError, match="no memory for a tensor of"):
                    held["w3"]
            assert torch.equal(held["w5"], disk.tensors["w5"])

    within(20, run)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_files_are_read_ahead_into_buffers_that_are_used_again(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr("paretomerge.checkpoints.streams.buffer_pool.SMALL", 1)
    params = {f"w{k}": (torch.arange(64) % (k + 2)).to(dtype).reshape(8, 8) for k in range(6)}
    checkpoint = open_checkpoint(write_params(tmp_path / "model", params, max_shard_bytes=700))
    places = set()
    with Prefetch(2 * 64 * dtype.itemsize, 1) as prefetch:
        held = prefetch.view(checkpoint)
        prefetch.start(list(params))
        for name, tensor in params.items():
            read = within(20, lambda name=name: held[name])
            assert torch.equal(read, tensor)
            assert read.dtype == dtype
            places.add(read.data_ptr())
            prefetch.release(name)
    assert len(places) <= 3


def test_a_file_that_is_replaced_in_the_middle_is_an_error(tmp_path):
    folder = write_params(tmp_path / "model", values(0))
    checkpoint = open_checkpoint(folder)
    with Prefetch(1, 1) as prefetch:
        held = prefetch.view(checkpoint)
        prefetch.start(NAMES)
        assert torch.equal(within(20, lambda: held["w1"]), values(0)["w1"])
        write_params(folder, values(1), overwrite=True)
        with pytest.raises(StorageError, match="was replaced since it was opened"):
            within(20, lambda: held["w7"])
