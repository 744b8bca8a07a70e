from __future__ import annotations

import random
import threading

import pytest
import torch

from paretomerge.checkpoints.streams import buffer_pool
from paretomerge.checkpoints.streams.buffer_pool import SMALL, BufferPool
from paretomerge.errors import StorageError


@pytest.fixture(autouse=True)
def keep_everything(monkeypatch):
    """Buffers of any size are kept, so that tests need no megabytes."""
    monkeypatch.setattr(buffer_pool, "SMALL", 1)


def in_thread(call):
    """Start `call`; the answer waits for it and gives its result, or `None` when it is still waiting."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()

    def answer(seconds=20.0):
        thread.join(seconds)
        return found[0] if found else None

    return answer


def held(pool):
    """Bytes of all buffers, counted one by one."""
    return pool._in_use + sum(len(buffer) for buffer in pool._free)


def test_a_buffer_that_came_back_is_used_again():
    pool = BufferPool(100)
    first = pool.take(40)
    place = first.data_ptr()
    pool.give_back(first)
    assert pool.take(40).data_ptr() == place
    second = pool.take(30)
    assert second.data_ptr() != place
    assert (len(second), second.dtype) == (30, torch.uint8)


def test_a_smaller_tensor_may_take_a_buffer_of_up_to_twice_its_size_the_smallest_that_fits():
    pool = BufferPool(1000)
    taken = {size: pool.take(size) for size in (100, 60, 40)}
    places = {size: buffer.data_ptr() for size, buffer in taken.items()}
    for buffer in taken.values():
        pool.give_back(buffer)
    assert pool.take(50).data_ptr() == places[60]
    assert pool.take(50).data_ptr() == places[100]
    assert pool.take(19).data_ptr() != places[40]
    assert pool.take(20).data_ptr() == places[40]


def test_free_buffers_that_do_not_fit_make_room():
    pool = BufferPool(100)
    for size in (30, 40):
        pool.give_back(pool.take(size))
    assert held(pool) == 70
    assert len(pool.take(90)) == 90
    assert held(pool) == 90


def test_what_fits_exactly_beside_the_free_buffers_leaves_them():
    pool = BufferPool(100)
    spare = pool.take(30)
    place = spare.data_ptr()
    pool.give_back(spare)
    assert len(pool.take(70)) == 70
    assert held(pool) == 100
    assert pool.take(30).data_ptr() == place


def test_who_wants_more_than_is_left_waits_until_something_comes_back():
    pool = BufferPool(100)
    first, second = pool.take(60), pool.take(40)
    waiting = in_thread(lambda: pool.take(50))
    assert waiting(0.1) is None
    pool.give_back(second)
    assert waiting(0.1) is None
    pool.give_back(first)
    assert len(waiting()) in (50, 60)
    assert held(pool) <= 100


def test_one_buffer_larger_than_the_budget_is_given_out_when_no_other_is_in_use():
    pool = BufferPool(10)
    assert len(pool.take(1000)) == 1000
    pool = BufferPool(10)
    small = pool.take(1)
    waiting = in_thread(lambda: pool.take(1000))
    assert waiting(0.1) is None
    pool.give_back(small)
    large = waiting()
    assert len(large) == 1000
    others = in_thread(lambda: pool.take(1))
    assert others(0.1) is None
    pool.give_back(large)
    assert len(others()) == 1
    assert held(pool) == 1, "a buffer over the budget is not kept"


def test_without_waiting_the_budget_may_be_exceeded_and_is_kept_again_afterwards():
    pool = BufferPool(100)
    taken = [pool.take(60), pool.take(60, wait=False)]
    assert held(pool) == 120
    for buffer in taken:
        pool.give_back(buffer)
    assert held(pool) <= 100


def test_closing_wakes_whoever_waits_and_forgets_every_buffer():
    pool = BufferPool(100)
    taken = pool.take(100)
    spare = BufferPool(100)
    spare.give_back(spare.take(50))
    waiting = in_thread(lambda: (pool.take(10), "closed"))
    assert waiting(0.1) is None
    pool.close()
    assert waiting() == (None, "closed")
    assert pool.take(1, wait=False) is None
    pool.give_back(taken)
    spare.close()
    assert held(pool) == held(spare) - spare._in_use == 0


def test_small_buffers_are_not_kept(monkeypatch):
    monkeypatch.setattr(buffer_pool, "SMALL", SMALL)
    pool = BufferPool(10 * SMALL)
    pool.give_back(pool.take(SMALL - 1))
    assert held(pool) == 0
    pool.give_back(pool.take(SMALL))
    assert held(pool) == SMALL


def test_a_tensor_without_elements_has_a_buffer_too():
    pool = BufferPool(100)
    empty = pool.take(0)
    assert len(empty[:0]) == 0
    pool.give_back(empty)
    assert pool._in_use == 0


def test_memory_that_the_machine_does_not_have_is_said_so():
    pool = BufferPool(1 << 62)
    with pytest.raises(StorageError, match=r"no memory for a tensor of 1152921504\.61 GB: free some, or merge fewer"):
        pool.take(1 << 60)
    assert held(pool) == 0
    assert len(pool.take(5)) == 5


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("budget", [1, 50, 200, 10_000])
def test_many_threads_never_hold_more_than_the_budget_but_for_one_large_buffer(budget, threads):
    pool, most, failed, lock = BufferPool(budget), [0], [], threading.Lock()

    def work(seed):
        draw = random.Random(seed)
        try:
            for _ in range(60):
                buffer = pool.take(draw.choice([1, 3, 20, 60, 120, 400]))
                with lock:
                    most[0] = max(most[0], pool._held)
                    assert pool._held <= max(budget, len(buffer))
                buffer.fill_(seed)
                assert bool((buffer == seed).all())
                pool.give_back(buffer)
        except BaseException as error:
            failed.append(error)

    working = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join(30)
    assert not any(thread.is_alive() for thread in working), "deadlock"
    assert not failed
    assert most[0] <= max(budget, 400)
    assert pool._in_use == 0
    assert pool._held == held(pool) <= budget
