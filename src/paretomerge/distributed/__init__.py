"""Executors: serial and process pool."""

from paretomerge.distributed.executors import Executor, ProcessPool, Serial
from paretomerge.distributed.workers import Outcome, Setup, Workers

__all__ = ["Executor", "Outcome", "ProcessPool", "Serial", "Setup", "Workers"]
