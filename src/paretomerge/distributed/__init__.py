"""Executors: serial and process pool."""

from paretomerge.distributed.executors import Executor, ProcessPool, Serial

__all__ = ["Executor", "ProcessPool", "Serial"]
