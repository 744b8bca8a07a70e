"""One pass over large tensors in tiles that stay in the cache.

A tensor expression over whole tensors reads and writes memory once for every operation. Here each tile of the
inputs is read once, converted to the dtype of the sum in scratch memory, combined there, and rounded into the
output: memory traffic is that of the inputs and outputs, and scratch memory is a few tiles per thread.

The tiles are cut at fixed places and each is computed by one thread from start to end, so the result does not
depend on the number of threads.

Shapes: `S` sources, `K` outputs, `n` elements.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

from paretomerge.arithmetic.rounding import round_into

TILE = 1 << 17
"""Elements of a tile: half a megabyte in float32. Smaller tiles fit into a core's own cache, but the calls then cost
more than they save; larger ones leave the cache."""

SERIAL = 1 << 15
"""Elements up to which PyTorch itself uses one thread: a tensor that small is not worth handing to another."""

Returned = TypeVar("Returned")

Combine = Callable[[Sequence[Tensor], Tensor, int], None]
"""`combine(tiles, out, start)`: `S` tiles `[n]` in the dtype of the sum, and then the scratch tiles that were asked
for, → `out [K, n]`. Their first element is element `start` of the tensors. Only scratch may be overwritten."""


def sweep(
    sources: Sequence[Tensor], out: Tensor | None, combine: Combine, dtype: torch.dtype, scratch: int = 0
) -> None:
    """Call `combine` for every tile of `sources`, and round what it writes into `out`.

    Args:
        sources: `S` tensors of one shape, in any floating-point dtypes, on one device.
        out: `[K, *shape]`, of any floating-point dtype and any strides (one that cannot be seen as `K` vectors is
            computed in memory of its own, and copied). `None` for a pass that only looks at the sources: `combine` is
            then given an empty tensor.
        combine: what is computed; called from several threads, each with tiles of its own.
        dtype: of the tiles and of the sums, float32 or float64.
        scratch: how many tiles of scratch memory `combine` wants, after those of the sources.
    """
    flat = [source.detach().reshape(-1) for source in sources]
    size = flat[0].numel()
    rows = None if out is None else _as_rows(out.detach())
    # An accelerator has no such cache: one tile is the whole tensor there.
    tile = TILE if flat[0].device.type == "cpu" else max(size, 1)
    starts = range(0, size, tile)

    def run(numbers: range) -> None:
        lanes = _Lanes(flat, rows, min(tile, size), dtype, scratch)
        for number in numbers:
            start = starts[number]
            stop = min(start + tile, size)
            tiles, target = lanes.load(start, stop)
            combine(tiles, target, start)
            lanes.store(target, start, stop)

    if size > SERIAL and flat[0].device.type == "cpu":
        run_in_parallel(run, range(len(starts)))
    else:
        run(range(len(starts)))
    if out is not None and rows is not None and rows.data_ptr() != out.data_ptr():
        out.detach().copy_(rows.view(out.shape))


def _as_rows(out: Tensor) -> Tensor:
    """`[K, n]`: a view of `out [K, *shape]`, or new memory where its strides allow none (a transposed weight, say)."""
    try:
        return out.view(len(out), -1)
    except RuntimeError:
        return torch.empty(len(out), out[0].numel(), dtype=out.dtype, device=out.device)


class _Lanes:
    """The memory of one thread: a tile for each source that needs converting, for scratch, and for the sums."""

    def __init__(
        self, flat: Sequence[Tensor], rows: Tensor | None, tile: int, dtype: torch.dtype, scratch: int
    ) -> None:
        device = flat[0].device
        self._flat, self._rows = flat, rows
        converted = [source.dtype != dtype for source in flat]
        # one matrix, so that the tiles can be the operand of a matrix product without another copy
        lanes = iter(torch.empty(sum(converted), tile, dtype=dtype, device=device))
        self._lanes = [next(lanes) if needed else None for needed in converted]
        self._scratch = torch.empty(scratch, tile, dtype=dtype, device=device)
        self._direct = rows is not None and rows.dtype == dtype
        count = 0 if rows is None or self._direct else len(rows)
        self._sums = torch.empty(count, tile, dtype=dtype, device=device)

    def load(self, start: int, stop: int) -> tuple[list[Tensor], Tensor]:
        """The tiles from `start` to `stop`, and where their combination goes."""
        width = stop - start
        tiles = [
            source[start:stop] if lane is None else lane[:width].copy_(source[start:stop])
            for source, lane in zip(self._flat, self._lanes, strict=True)
        ]
        tiles += [row[:width] for row in self._scratch]
        if self._rows is not None and self._direct:
            return tiles, self._rows[:, start:stop]
        return tiles, self._sums[:, :width]

    def store(self, target: Tensor, start: int, stop: int) -> None:
        """Round what was computed into the output, unless it was computed there."""
        if self._rows is not None and not self._direct:
            round_into(self._rows[:, start:stop], target)


def run_in_parallel(run: Callable[[range], None], numbers: range) -> None:
    """`run` on contiguous parts of `numbers`, one part per thread; in this thread if PyTorch is to use one only.

    A single part goes to such a thread too: it runs its operations alone, where this one would share each of them.

    An error in one part is raised when no thread is at work any more.
    """
    threads = min(torch.get_num_threads(), len(numbers))
    if torch.get_num_threads() < 2 or not threads:
        run(numbers)
        return
    pool = _pool(torch.get_num_threads())
    inference = torch.is_inference_mode_enabled()  # a mode of the thread that asks, which the others know nothing of

    def run_part(part: range) -> None:
        with torch.inference_mode(inference):
            run(part)

    edges = [len(numbers) * part // threads for part in range(threads + 1)]
    futures = [pool.submit(run_part, numbers[begin:end]) for begin, end in pairwise(edges)]
    wait(futures)
    for future in futures:
        future.result()


class _Workers:
    """As many threads as PyTorch would use, each of which runs its operations alone.

    Inside one operation on a tile, the work of several threads would be spent on waiting for each other.
    """

    def __init__(self, count: int) -> None:
        self._threads: list[threading.Thread] = []
        ready = threading.Barrier(count + 1)
        default = _in_new_thread(torch.get_num_threads)

        def start() -> None:
            torch.get_num_threads()  # a thread takes the default when it first asks, even if it set its own before
            torch.set_num_threads(1)  # this thread's own number, and the default of threads to come
            self._threads.append(threading.current_thread())
            ready.wait()

        self.pool = ThreadPoolExecutor(count, "paretomerge-tile", start)
        for _ in range(count):
            self.pool.submit(int)
        ready.wait()
        _in_new_thread(lambda: torch.set_num_threads(default))  # the default as it was

    @property
    def alive(self) -> bool:
        """Whether the threads are there: they do not survive a fork of the process."""
        return all(thread.is_alive() for thread in self._threads)


_lock = threading.Lock()
_workers: dict[int, _Workers] = {}  # by their number: threads of a program may each have set another one


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _workers or not _workers[threads].alive:
            _workers[threads] = _Workers(threads)
        return _workers[threads].pool


def _in_new_thread(call: Callable[[], Returned]) -> Returned:
    """What `call` gives in a thread that has no number of threads of its own yet."""
    found: Future[Returned] = Future()

    def work() -> None:
        try:
            found.set_result(call())
        except BaseException as error:  # memory that ran out, say: it belongs to whoever asked
            found.set_exception(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found.result()
