"""What every executor promises, in one table."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.test_workers import _all, _open

from paretomerge.distributed import Executor, ProcessPool, Ray, Serial
from paretomerge.errors import DataError, FailureError

EXECUTORS = {
    "serial": Serial(),
    "pool": ProcessPool(2),
    "ray": Ray(2, retries=1),
    "elastic ray": Ray(retries=1),
}


@pytest.fixture(params=list(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> Executor:
    if "ray" in request.param:
        request.getfixturevalue("one_node")
    return EXECUTORS[request.param]


def _square_slowly(number: int) -> tuple[int, float]:
    # Later items are ready first.
    time.sleep(0.02 * (3 - number))
    return number * number, float(torch.tensor(2.0 * number))


def _refuse(number: int) -> int:
    if number == 1:
        raise DataError("no data for 1")
    return number


def _refuse_to_open() -> Callable[[Any], Any]:
    raise DataError("no such run")


def test_map_keeps_the_order_and_an_error_its_class_and_place(executor: Executor) -> None:
    assert list(executor.map(_square_slowly, range(4))) == [(0, 0.0), (1, 2.0), (4, 4.0), (9, 6.0)]
    assert not list(executor.map(_refuse, []))
    results = executor.map(_refuse, range(3))
    assert next(results) == 0
    with pytest.raises(DataError, match=r"^no data for 1$"):
        next(results)


def test_every_item_has_one_outcome_and_each_worker_opens_once(executor: Executor, tmp_path: Path) -> None:
    workers = executor.open(partial(_open, tmp_path))
    try:
        assert workers.next(0.0) is None
        items: list[Any] = ["refuse", "break", *range(12), "pid", "threads", 0.1, 0.0]
        outcomes = _all(workers, items)
        assert Counter(map(str, items)) == Counter(str(outcome.item) for outcome in outcomes)
        found = {str(outcome.item): outcome for outcome in outcomes}
        assert [found[str(number)].result for number in range(12)] == list(range(12))
        assert isinstance(found["refuse"].error, DataError)
        assert "by zero" in str(found["break"].error)
        assert found["threads"].result == 1
        opened = (tmp_path / "opened").read_text().split()
        assert len(set(opened)) == len(opened) <= workers.size
        assert str(found["pid"].result) in opened
        assert (str(os.getpid()) in opened) == isinstance(executor, Serial)
        assert workers.free == workers.size
        assert workers.next() is None
    finally:
        workers.close()


def test_an_error_while_opening_is_that_error(executor: Executor) -> None:
    workers = executor.open(_refuse_to_open)
    workers.start(1)
    with pytest.raises(DataError, match=r"^no such run$"):
        workers.next()
    workers.close()


def test_a_worker_that_dies_costs_its_item_alone(executor: Executor, tmp_path: Path) -> None:
    if isinstance(executor, Serial):
        pytest.skip("this process would die")
    workers = executor.open(partial(_open, tmp_path))
    try:
        outcomes = {str(outcome.item): outcome for outcome in _all(workers, ["die", 1, 2, 3])}
        assert [outcomes[name].result for name in "123"] == [1, 2, 3]
        assert isinstance(outcomes["die"].error, FailureError)
        assert "died" in str(outcomes["die"].error)
        assert "memory ran out" in str(outcomes["die"].error)
        assert [outcome.result for outcome in _all(workers, [4])] == [4]
    finally:
        workers.close()
