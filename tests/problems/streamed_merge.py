"""How much memory a merge streamed to the disk takes: `python -m tests.problems.streamed_merge FOLDER LAYERS WIDTH`.

Prints bytes: of the model, and the most of its own that the process held while it merged two checkpoints into the
places of a model on the disk, and while it ran that model. Files that are mapped do not count, the system gives them
back when it needs room.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import torch
from torch import nn

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.merging import Averaging, MergedParams, collect_inputs
from paretomerge.problems import ModelPlacement, place_model
from paretomerge.types import load_in_place


def own_memory() -> int:
    """Bytes that belong to this process alone and to no file."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


class Peak:
    """The most memory since it was entered, above what there was."""

    def __enter__(self) -> Peak:
        self.before = self.most = own_memory()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.002):
            self.most = max(self.most, own_memory())

    @property
    def bytes(self) -> int:
        return self.most - self.before


def main(folder: Path, layers: int, width: int) -> None:
    """Write two checkpoints, merge, run."""

    def build() -> nn.Module:
        return nn.Sequential(*(nn.Linear(width, width, bias=False) for _ in range(layers)))

    for number in (1, 2):
        tensor = torch.full((width, width), float(number))
        write_params(folder / str(number), dict.fromkeys((f"{layer}.weight" for layer in range(layers)), tensor))
    inputs = collect_inputs({str(number): open_checkpoint(folder / str(number)) for number in (1, 2)})
    module = place_model(build, ModelPlacement({"": "disk"}, offload=str(folder)))
    with Peak() as merging:
        load_in_place(module, MergedParams(inputs, {"1": 0.25, "2": 0.75}, Averaging()))
    with Peak() as running, torch.no_grad():
        module(torch.zeros(1, width))
    print(layers * width * width * 4, merging.bytes, running.bytes)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
