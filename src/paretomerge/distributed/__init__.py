"""Executors: serial, process pool, and the actors of a Ray cluster."""

from paretomerge.distributed.executors import Executor, ProcessPool, Serial
from paretomerge.distributed.ray_executor import Ray
from paretomerge.distributed.settings import executor_of
from paretomerge.distributed.shared_params import Share, SharedParams, attached
from paretomerge.distributed.workers import Outcome, Setup, Workers

__all__ = [
    "Executor",
    "Outcome",
    "ProcessPool",
    "Ray",
    "Serial",
    "Setup",
    "Share",
    "SharedParams",
    "Workers",
    "attached",
    "executor_of",
]
