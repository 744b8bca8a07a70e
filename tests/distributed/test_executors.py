from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
import torch

from paretomerge.distributed import Executor, ProcessPool, Serial
from paretomerge.errors import DataError, FailureError, InputError


def _square_slowly(number: int) -> tuple[int, float]:
    # Later items are ready first.
    time.sleep(0.05 * (3 - number))
    return number * number, float(torch.tensor(2.0 * number))


def _threads(number: int) -> int:
    return torch.get_num_threads()


def _die(number: int) -> int:
    if number == 1:
        os._exit(9)
    return number


def _refuse(number: int) -> int:
    raise DataError(f"no data for {number}")


def test_executors_give_equal_results_in_the_order_of_the_items() -> None:
    executors: list[Executor] = [Serial(), ProcessPool(2)]
    results = [list(executor.map(_square_slowly, range(4))) for executor in executors]
    assert results[0] == results[1] == [(0, 0.0), (1, 2.0), (4, 4.0), (9, 6.0)]


def test_serial_work_is_lazy() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return number

    results: Iterator[int] = Serial().map(work, [1, 2, 3])
    assert next(results) == 1
    assert done == [1]


def test_workers_use_one_thread_and_a_dying_one_is_a_failure_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert list(ProcessPool(1).map(_threads, [0])) == [1]
    with pytest.raises(FailureError, match=r"a worker process died.*fewer workers"):
        list(ProcessPool(1).map(_die, [0, 1, 2]))


def test_an_error_raised_on_purpose_keeps_its_class_and_message() -> None:
    for executor in (Serial(), ProcessPool(1)):
        with pytest.raises(DataError, match=r"^no data for 0$"):
            list(executor.map(_refuse, [0]))


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(InputError, match="at least one worker, got 0"):
        ProcessPool(0)
