"""Options of verbs that can work side by side, and the executor that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from paretomerge.errors import InputError

if TYPE_CHECKING:
    from paretomerge.distributed import Executor

ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="serial|pool|ray",
        help="Who works: this process, processes of this machine, or a Ray cluster.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="How many work side by side; for Ray by default as many as the cluster has room for, as it grows and "
        "shrinks.",
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Of the Ray cluster; by default one that runs, or a new one on this machine.",
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option("--gpus-per-worker", min=0, help="GPUs that each Ray worker reserves; 0.5 lets two share one."),
]


def parse_executor(
    executor: str | None, workers: int | None, ray_address: str | None, gpus_per_worker: float | None
) -> Executor | None:
    """The executor that the four options ask for; `None` where none is given.

    Raises:
        InputError: an unknown name, or options that do not go together.
    """
    for option, value in (("--ray-address", ray_address), ("--gpus-per-worker", gpus_per_worker)):
        if value is not None and executor != "ray":
            raise InputError(f"{option} goes with --executor ray")
    if (executor, workers) == (None, None):
        return None
    from paretomerge.distributed import executor_of

    return executor_of(executor, workers, ray_address, gpus_per_worker)
