"""Reading the tensors of several checkpoints ahead of their use, in the order in which they will be used.

Threads read while the merge computes; what was used is read over by what comes next, so the memory is that of a few
blocks whatever the size of the models. A tensor that several models share is read once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import torch
from torch import Tensor

from paretomerge.checkpoints.checkpoint import Checkpoint, MemoryTensors, TensorSource
from paretomerge.checkpoints.streams.buffer_pool import BufferPool
from paretomerge.errors import ParetomergeError, StorageError
from paretomerge.types import Params, TensorSpec


class Prefetch:
    """Reader threads over views of checkpoints; a context manager.

    Wrap each checkpoint with `view`, `start` with the names in the order of their use, and `release` each name when
    its block is done: its tensors must not be used after that.

    Args:
        budget: bytes that may be read ahead. A block is always read, however large.
        threads: readers.
        device: where the tensors are wanted; copies to an accelerator are made by the readers, from pinned memory.
    """

    def __init__(self, budget: int, threads: int = 2, device: torch.device | str = "cpu") -> None:
        """Nothing is read."""
        self.device = torch.device(device)
        self._pool = BufferPool(budget, pinned=self.device.type == "cuda")
        self._views: list[tuple[PrefetchedParams, Callable[[str], bool]]] = []
        self._items: dict[tuple[int, str], _Item] = {}
        self._by_name: dict[str, list[_Item]] = {}
        self._queue: Iterator[_Item] = iter(())
        self._changed = threading.Condition()
        self._taking = threading.Lock()
        self._threads = [threading.Thread(target=self._read_ahead, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the readers."""
        self._pool.close()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def view(self, params: Params, wanted: Callable[[str], bool] = lambda name: True) -> Params:
        """The same parameters, of which the `wanted` names are read ahead; those in memory only go to the device."""
        if not isinstance(params, Checkpoint):
            return {name: params[name].to(self.device) for name in params} if self.device.type != "cpu" else params
        view = PrefetchedParams(self, params)
        self._views.append((view, wanted))
        return view

    def start(self, names: Sequence[str]) -> None:
        """Begin to read the tensors of every view, name by name in this order."""
        for name in names:
            for view, wanted in self._views:
                if name in view and wanted(name):
                    self._plan(view.checkpoint, name)
        self._queue = iter(list(self._items.values()))
        for thread in self._threads:
            thread.start()

    def release(self, name: str) -> None:
        """The tensors of this name are no longer needed."""
        for item in self._by_name.pop(name, ()):
            item.names.discard(name)
            if not item.names:
                self._drop(item)

    def get(self, checkpoint: Checkpoint, name: str) -> Tensor:
        """One tensor: waits for the reader that has begun it, or reads it here."""
        source, inner = checkpoint.locate(name)
        item = self._items.get((id(source), inner))
        if item is None:  # not planned, or released: as without reading ahead
            return checkpoint[name].to(self.device)
        with self._changed:
            mine = item.state in ("planned", "waiting")
            if mine:
                item.state = "reading"
            while not mine and item.state == "reading":
                self._changed.wait()
        if mine:
            self._read_here(item)
        if item.error is not None:
            raise item.error
        assert item.tensor is not None
        if self.device.type == "cuda":
            # it was made on a reader's stream: its memory must not be given out again before this one is done with it
            item.tensor.record_stream(torch.cuda.current_stream(self.device))
        return item.tensor

    def _plan(self, checkpoint: Checkpoint, name: str) -> None:
        source, inner = checkpoint.locate(name)
        if isinstance(source, MemoryTensors) and self.device.type == "cpu":
            return
        item = self._items.setdefault((id(source), inner), _Item(source, inner))
        item.names.add(name)
        self._by_name.setdefault(name, []).append(item)

    def _read_ahead(self) -> None:
        while True:
            with self._taking:  # one reader after the other, so that memory goes to what is needed first
                item = self._next()
                if item is None:
                    return
                try:
                    buffer = self._pool.take(item.nbytes)
                except StorageError:  # no memory: whoever asks for the tensor tries again, and is told
                    return
            if buffer is None:  # the pool is closed
                return
            with self._changed:
                mine = item.state == "waiting"
                if mine:
                    item.state = "reading"
            if mine:
                self._read_into(item, buffer)
            else:
                self._pool.give_back(buffer)

    def _next(self) -> _Item | None:
        with self._changed:
            item = next((item for item in self._queue if item.state == "planned"), None)
            if item is not None:
                item.state = "waiting"
            return item

    def _read_here(self, item: _Item) -> None:
        try:
            buffer = self._pool.take(item.nbytes, wait=False)
            error = StorageError(f"{item.name!r} was asked for after reading was stopped")
        except StorageError as refused:
            buffer, error = None, refused
        if buffer is not None:
            self._read_into(item, buffer)
            return
        with self._changed:
            item.error, item.state = error, "ready"

    def _read_into(self, item: _Item, buffer: Tensor) -> None:
        try:
            tensor = item.source.read(item.name, buffer)
            if self.device.type != "cpu":
                tensor = self._moved(tensor)
            item.tensor, item.buffer = tensor, buffer
        except ParetomergeError as error:
            item.error = error
        except Exception as error:  # the reader must not die silently: whoever asks for the tensor gets the reason
            item.error = StorageError(f"cannot read {item.name!r}: {type(error).__name__}: {error}")
        with self._changed:
            item.state = "ready"
            kept = item.buffer is not None and not item.dropped
            self._changed.notify_all()
        if not kept:
            self._pool.give_back(buffer)

    def _moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the accelerator; this thread waits for the copy, the merge goes on meanwhile."""
        stream = torch.cuda.Stream(self.device)
        with torch.cuda.stream(stream):
            moved = tensor.to(self.device, non_blocking=True)
        stream.synchronize()
        return moved

    def _drop(self, item: _Item) -> None:
        with self._changed:
            self._items.pop((id(item.source), item.name), None)
            item.dropped = True
            buffer = item.buffer if item.state == "ready" else None  # a reader at work gives it back itself
            item.buffer = item.tensor = None
            if item.state != "reading":
                item.state = "ready"
        if buffer is not None:
            self._pool.give_back(buffer)


class PrefetchedParams(Mapping[str, Tensor]):
    """The tensors of one checkpoint through a `Prefetch`."""

    def __init__(self, prefetch: Prefetch, checkpoint: Checkpoint) -> None:
        """Made by `Prefetch.view`."""
        self._prefetch = prefetch
        self.checkpoint = checkpoint

    def __getitem__(self, name: str) -> Tensor:
        """One tensor, to be used until its name is released."""
        return self._prefetch.get(self.checkpoint, name)

    @property
    def source(self) -> Path | None:
        """Where the checkpoint is from."""
        return self.checkpoint.source

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype, without reading values."""
        return self.checkpoint.spec(name)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name."""
        return name in self.checkpoint

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.checkpoint)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self.checkpoint)


@dataclass(eq=False)
class _Item:
    """One tensor of one source: planned → waiting for memory → being read → ready."""

    source: TensorSource
    name: str
    names: set[str] = field(default_factory=set)
    state: Literal["planned", "waiting", "reading", "ready"] = "planned"
    dropped: bool = False
    tensor: Tensor | None = None
    buffer: Tensor | None = None
    error: Exception | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return self.source.spec(self.name).nbytes
