"""From settings to an executor: the one place that knows the names `serial`, `pool` and `ray`."""

from __future__ import annotations

from paretomerge.distributed.executors import Executor, ProcessPool, Serial
from paretomerge.distributed.ray_executor import Ray
from paretomerge.errors import InputError, nearest

NAMES = ("serial", "pool", "ray")


def executor_of(
    name: str | None = None,
    workers: int | None = None,
    ray_address: str | None = None,
    gpus_per_worker: float | None = None,
) -> Executor | None:
    """The executor that settings ask for; `None` where they say nothing.

    Args:
        name: `serial`, `pool` or `ray`; left out, a number of workers means a pool (one worker: serial).
        workers: how many; left out, Ray takes all that there is room for, and a pool has two.
        ray_address: of a cluster, for Ray.
        gpus_per_worker: what each worker reserves, for Ray.

    Raises:
        InputError: an unknown name, or settings that do not go together.

    >>> executor_of("pool", 4)
    ProcessPool(workers=4, threads=1)
    """
    if name is not None and name not in NAMES:
        raise InputError(f"unknown executor {name!r}{nearest(name, NAMES)}: one of {', '.join(NAMES)}")
    for option, value in (("a Ray address", ray_address), ("GPUs per worker", gpus_per_worker)):
        if value is not None and name != "ray":
            raise InputError(f"{option} ({value}) goes with the executor ray, not with {name or 'none'}")
    if workers is not None and workers < 1:
        raise InputError(f"at least one worker is needed, got {workers}")
    if name == "serial" and workers not in (None, 1):
        raise InputError(f"the executor serial is one worker, got {workers}: use pool or ray")
    if name == "ray":
        return Ray(workers, ray_address, gpus_per_worker=gpus_per_worker or 0.0)
    if name == "pool":
        return ProcessPool() if workers is None else ProcessPool(workers)
    if name is None and workers is None:
        return None
    return Serial() if workers in (None, 1) else ProcessPool(workers)
