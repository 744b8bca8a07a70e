from __future__ import annotations

from typing import Any

import pytest

from paretomerge.distributed import Executor, ProcessPool, Ray, Serial, executor_of
from paretomerge.errors import InputError


@pytest.mark.parametrize(
    ("settings", "executor"),
    [
        ((), None),
        ((None, 1), Serial()),
        ((None, 3), ProcessPool(3)),
        (("serial",), Serial()),
        (("pool",), ProcessPool(2)),
        (("pool", 5), ProcessPool(5)),
        (("ray",), Ray()),
        (("ray", 4, "node:6379", 0.5), Ray(4, "node:6379", gpus_per_worker=0.5)),
    ],
)
def test_settings_name_an_executor(settings: tuple[Any, ...], executor: Executor | None) -> None:
    assert executor_of(*settings) == executor


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("rays",), r"unknown executor 'rays' \(did you mean 'ray'\?\): one of serial, pool, ray"),
        (("pool", 0), "at least one worker is needed, got 0"),
        (("serial", 2), "the executor serial is one worker, got 2: use pool or ray"),
        (("pool", 2, "node:6379"), "a Ray address .* goes with the executor ray"),
        ((None, None, None, 1.0), "GPUs per worker .* goes with the executor ray"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        executor_of(*settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 0}, "at least one worker, got 0"),
        ({"cpus_per_worker": 0.0}, "cannot be placed"),
        ({"gpus_per_worker": -1.0}, "cannot be placed"),
        ({"retries": -1}, "cannot be started -1 times"),
    ],
)
def test_ray_refuses_what_no_cluster_can_give(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Ray(**changes)
