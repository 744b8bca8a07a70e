"""Writing merged tensors while the next ones are computed.

One thread writes; its queue is as long as the buffers allow. The buffers are used again, so a merge of any size takes
the memory of a few blocks.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from paretomerge.arithmetic import extremes
from paretomerge.checkpoints.streams.buffer_pool import BufferPool
from paretomerge.checkpoints.writing.writer import CheckpointWriter
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec


class WriteBehind(Mapping[str, Tensor]):
    """Where `K` merged models go at once: the outputs of a merge, and the thread that writes them.

    As a mapping it gives room for the next tensor, `[K, *shape]` in the dtype of its spec; `put` hands the tensor to
    the writing thread. A context manager; `finish` waits for everything to be written.

    Args:
        writers: `K` checkpoints.
        specs: of the tensors.
        budget: bytes of tensors that wait to be written. One tensor always finds room.
        device: where the merge computes.
    """

    def __init__(
        self,
        writers: Sequence[CheckpointWriter],
        specs: Mapping[str, TensorSpec],
        budget: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Nothing is allocated."""
        self._writers, self._specs, self._device = writers, specs, torch.device(device)
        self._pool = BufferPool(budget, pinned=self._device.type == "cuda")
        self._buffers: dict[str, Tensor] = {}
        # On the CPU the buffers limit how much waits; tensors on an accelerator have none, so the queue does.
        waiting = 0 if self._device.type == "cpu" else 4
        self._queue: queue.Queue[tuple[str, Tensor, torch.cuda.Event | None] | None] = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread; what still waits is forgotten."""
        if self._thread.is_alive():
            self._error = self._error or CheckpointError("writing was stopped")
            self._queue.put(None)
            self._thread.join()
        self._pool.close()

    def __getitem__(self, name: str) -> Tensor:
        """Room for one tensor of all models, not initialised; waits for the thread where there is none."""
        spec = self._specs[name]
        if self._device.type != "cpu":
            return torch.empty((len(self._writers), *spec.shape), dtype=spec.dtype, device=self._device)
        return self._take(name)

    def put(self, name: str, merged: Tensor) -> None:
        """Hand over a complete tensor, `[K, *shape]`, that came from this mapping.

        Raises:
            CheckpointError, StorageError: what went wrong in the thread since the last call.
        """
        self._raise_error()
        event = None
        if self._device.type != "cpu":
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(self._device))
        self._queue.put((name, merged, event))

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            CheckpointError, StorageError: what went wrong in the thread.
        """
        self._queue.put(None)
        self._thread.join()
        self._raise_error()

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._specs)

    def __len__(self) -> int:
        """Number of names."""
        return len(self._specs)

    def _take(self, name: str) -> Tensor:
        """Room on the CPU for one tensor of all models."""
        spec = self._specs[name]
        batch = TensorSpec((len(self._writers), *spec.shape), spec.dtype)
        buffer = self._pool.take(batch.nbytes)
        assert buffer is not None
        self._buffers[name] = buffer
        return batch.room(buffer)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            name, merged, event = entry
            try:
                if self._error is None:
                    self._write(name, merged, event)
            except BaseException as error:  # raised again in the thread that merges
                self._error = error
            finally:
                if name in self._buffers:
                    self._pool.give_back(self._buffers.pop(name))

    def _write(self, name: str, merged: Tensor, event: torch.cuda.Event | None) -> None:
        if event is not None:
            event.synchronize()
            merged = self._take(name).copy_(merged)
        require_finite_output(name, merged)
        for writer, model in zip(self._writers, merged, strict=True):
            writer.write(name, model)


def require_finite_output(name: str, merged: Tensor) -> None:
    """Raise `CheckpointError` if a merged tensor has NaN or infinite entries."""
    if not merged.is_floating_point() or bool(torch.isfinite(extremes(merged)).all()):
        return
    if merged.dtype == torch.float16 and not bool(torch.isnan(merged).any()):
        raise CheckpointError(
            f"{name!r} holds values above 65504, more than float16 can hold: write in bfloat16 or float32"
        )
    raise CheckpointError(
        f"the merged {name!r} has NaN or infinite entries: a finetune diverged or overflowed its dtype (`paretomerge "
        "check` says which one), or the weights are far outside the usual range"
    )
