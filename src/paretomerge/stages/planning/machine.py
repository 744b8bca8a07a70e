"""The machine at hand, measured in seconds: matrix products, everything else, disk, digests, start-up.

Rates of the processor are those of its own time, so that other work on the machine does not make it look slower; those
of the disk are of the clock on the wall.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from paretomerge.checkpoints.atomic import free_bytes
from paretomerge.errors import StorageError
from paretomerge.planning import Machine

WIDTH = 768
"""Of the matrices that are multiplied: large enough for full speed, small enough for many repetitions."""

ELEMENTS = 4_000_000
"""Of the tensors that are added and normalised: more than a processor's cache holds."""

FILE_BYTES = 128 << 20
STARTS = (
    "import torch._dynamo, matplotlib.figure, scipy.interpolate, scipy.optimize, scipy.stats, "
    "paretomerge.stages.front, paretomerge.stages.joint.training, paretomerge.stages.exporting.export, "
    "paretomerge.cli.tables"
)
"""What the stages of a run import."""


def measure_machine(
    folder: Path | None = None, *, device: str = "cpu", repeats: int = 5, price: float = 0.0, start: bool = True
) -> Machine:
    """The machine at hand, as a cost model sees it: a device is a GPU, or as many cores as PyTorch has threads.

    Args:
        folder: on the disk that is measured; that of temporary files when `None`.
        device: `"cpu"` or `"cuda"`.
        repeats: of every measurement; medians count.
        price: of an hour.
        start: measure how long a process takes to start, some seconds; else it is taken to be none.

    Raises:
        StorageError: the disk refused.
    """
    chosen = torch.device(device)
    threads = torch.get_num_threads()
    cores = os.cpu_count() or 1
    clock = time.process_time if threads == 1 and chosen.type == "cpu" else time.perf_counter
    timed = _Timer(clock, chosen, repeats)
    flops = {"float32": timed.flops(torch.float32)}
    if chosen.type == "cuda":
        flops["bfloat16"] = timed.flops(torch.bfloat16)
    read, write = _disk(folder, repeats)
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 16e9
    memory = torch.cuda.get_device_properties(chosen).total_memory if chosen.type == "cuda" else host
    return Machine(
        name="here",
        devices=torch.cuda.device_count() if chosen.type == "cuda" else max(1, cores // threads),
        flops=flops,
        bandwidth=timed.bandwidth(),
        memory=float(memory),
        host_memory=float(host),
        read=read,
        write=write,
        digest=_digests(repeats),
        launch=timed.launch(),
        start_up=_start_up() if start else 0.0,
        price=price,
    )


class _Timer:
    """Median seconds of what runs on a device."""

    def __init__(self, clock: Callable[[], float], device: torch.device, repeats: int) -> None:
        self.clock, self.device, self.repeats = clock, device, repeats

    def seconds(self, action: Callable[[], object], times: int = 1) -> float:
        action()
        found = []
        for _ in range(self.repeats):
            self._wait()
            started = self.clock()
            for _ in range(times):
                action()
            self._wait()
            found.append((self.clock() - started) / times)
        return max(statistics.median(found), 1e-9)

    def flops(self, dtype: torch.dtype) -> float:
        """Of a product of square matrices."""
        width = WIDTH if self.device.type == "cpu" else 8192
        one = torch.randn(width, width, device=self.device, dtype=dtype)
        return 2 * width**3 / self.seconds(lambda: one @ one, 4)

    def bandwidth(self) -> float:
        """Bytes per second, in and out, of what a layer does besides products: sums, norms, activations."""
        many = ELEMENTS if self.device.type == "cpu" else 64 * ELEMENTS
        one = torch.randn(many // 512, 512, device=self.device)
        actions: list[tuple[int, Callable[[], object]]] = [
            (3, lambda: one + one.clone()),
            (2, lambda: torch.nn.functional.gelu(one)),
            (2, lambda: torch.nn.functional.layer_norm(one, (512,))),
            (2, lambda: torch.softmax(one.view(-1, 64), -1)),
            (2, lambda: torch.tanh(one)),
        ]
        moved = 4 * one.numel() * (sum(times for times, _ in actions) + 2)  # the clone
        return moved / sum(self.seconds(action) for _, action in actions)

    def launch(self) -> float:
        """Seconds of an operation on next to nothing."""
        small = torch.randn(8, 8, device=self.device)
        layer = torch.nn.Linear(8, 8).to(self.device)
        with torch.no_grad():
            return self.seconds(lambda: layer(small), 500)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def _digests(repeats: int) -> float:
    content = bytes(16 << 20)
    found = []
    for _ in range(repeats):
        started = time.process_time()
        hashlib.sha256(content).digest()
        found.append(time.process_time() - started)
    return len(content) / max(statistics.median(found), 1e-9)


def _disk(folder: Path | None, repeats: int) -> tuple[float, float]:
    """Reading what was just written (from memory, mostly, as checkpoints are that a stage before has read), writing."""
    content = os.urandom(1 << 20) * (FILE_BYTES >> 20)
    buffer = bytearray(len(content))
    writes, reads = [], []
    try:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            file = Path(place) / "measured"
            if free_bytes(Path(place)) < 2 * FILE_BYTES:
                raise StorageError(f"{place} has less than {2 * FILE_BYTES >> 20} MiB free: name another folder")
            for _ in range(max(1, repeats // 2)):
                started = time.perf_counter()
                with file.open("wb") as handle:
                    handle.write(content)
                    os.fsync(handle.fileno())
                writes.append(time.perf_counter() - started)
                started = time.perf_counter()
                with file.open("rb", buffering=0) as handle:
                    handle.readinto(buffer)
                reads.append(time.perf_counter() - started)
    except OSError as error:
        raise StorageError(f"cannot measure the disk at {folder or tempfile.gettempdir()}: {error}") from error
    return len(content) / statistics.median(reads), len(content) / statistics.median(writes)


def _start_up() -> float:
    """Processor seconds of a process that imports what stages need."""
    before = os.times()
    subprocess.run([sys.executable, "-c", STARTS], check=True, capture_output=True)
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)
