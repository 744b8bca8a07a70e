"""Memory for tensors that come and go: used again instead of given back, and never more than a budget.

New memory is expensive: the system hands it out page by page, zeroed, at a fraction of the speed of a copy.
"""

from __future__ import annotations

import mmap
import threading

import torch
from torch import Tensor

from paretomerge.errors import StorageError

SMALL = 1 << 20
"""Buffers below this size are not kept: allocating them is cheap."""


class BufferPool:
    """Byte buffers, at most `budget` bytes of them at a time.

    Args:
        budget: bytes. A single larger buffer is given out when no other is in use.
        pinned: page-locked memory, from which copies to an accelerator overlap with work.
    """

    def __init__(self, budget: int, pinned: bool = False) -> None:
        """Nothing is allocated."""
        self.budget = budget
        self._pinned = pinned
        self._free: list[Tensor] = []
        self._held = 0  # bytes of all buffers, free or in use
        self._in_use = 0
        self._changed = threading.Condition()
        self._closed = False

    def take(self, count: int, wait: bool = True) -> Tensor | None:
        """A buffer of at least `count` bytes, uint8; waits until the budget allows it, unless told not to.

        `None` after `close`. Without waiting the budget may be exceeded.

        Raises:
            StorageError: the machine has no such memory.
        """
        with self._changed:
            while wait and not self._closed and self._in_use and self._in_use + count > self.budget:
                self._changed.wait()
            if self._closed:
                return None
            return self._best(count)

    def give_back(self, buffer: Tensor) -> None:
        """The buffer's content is no longer needed."""
        with self._changed:
            self._in_use -= len(buffer)
            if len(buffer) >= SMALL and self._held <= self.budget and not self._closed:
                self._free.append(buffer)
            else:
                self._held -= len(buffer)
            self._changed.notify_all()

    def close(self) -> None:
        """Forget every buffer, and wake whoever waits for one."""
        with self._changed:
            self._closed = True
            self._free.clear()
            self._changed.notify_all()

    def _best(self, count: int) -> Tensor:
        fitting = [buffer for buffer in self._free if count <= len(buffer) <= 2 * count]
        if fitting:
            chosen = min(fitting, key=len)
            self._free = [buffer for buffer in self._free if buffer is not chosen]
        else:
            while self._free and self._held + count > self.budget:
                self._held -= len(self._free.pop(0))
            chosen = self._new(max(count, 1))
            self._held += len(chosen)
        self._in_use += len(chosen)
        return chosen

    def _new(self, count: int) -> Tensor:
        try:
            if self._pinned or count < SMALL:
                return torch.empty(count, dtype=torch.uint8, pin_memory=self._pinned)
            # Pages of its own, which go back to the system when the buffer does. An allocator keeps freed memory in
            # an arena for each thread: hundreds of megabytes that nobody uses.
            return torch.frombuffer(_anonymous(count), dtype=torch.uint8)
        except (RuntimeError, MemoryError, OSError) as error:
            raise StorageError(
                f"no memory for a tensor of {count / 1e9:.2f} GB: free some, or merge fewer models at a time"
            ) from error


def _anonymous(count: int) -> mmap.mmap:
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, count)
