"""The batches of images of every task and split: read once into memory, a byte per pixel, and scaled when used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import torch
from torch import Tensor, nn

from paretomerge.curvature.examples import split_batch
from paretomerge.errors import DataError
from paretomerge.problems.image_forms import ImageForm
from paretomerge.problems.images import read_images
from paretomerge.problems.labels import Labels
from paretomerge.problems.models import first_line
from paretomerge.problems.split_batches import table_of_split
from paretomerge.problems.tables import Table
from paretomerge.types import Batch, Split, call_module


@dataclass(frozen=True, eq=False)
class ImageBatches(Sequence[Batch]):
    """Batches that are scaled and normalised whenever they are read: `(s · pixel - mean) / std`.

    Args:
        pixels: `[n, channels, height, width]`, bytes, or floats that are not scaled.
        targets: `[n]`, an output of the head each.
        size: images per batch.
        form: scale, mean and standard deviation.
        argument: what the model calls its images; `None` where it takes them as its only argument.
    """

    pixels: Tensor
    targets: Tensor
    size: int
    form: ImageForm
    argument: str | None = None

    def __len__(self) -> int:
        """Number of batches."""
        return math.ceil(len(self.targets) / self.size)

    @overload
    def __getitem__(self, index: int) -> Batch: ...

    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...

    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        """One batch, or several."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        start = range(len(self))[index] * self.size
        images = self.pixels[start : start + self.size]
        scaled = images * self.form.scale if images.dtype == torch.uint8 else images
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.form.mean, self.form.std))
        inputs = (scaled - mean) / std
        targets = self.targets[start : start + self.size]
        return (inputs if self.argument is None else {self.argument: inputs}), targets


@dataclass(frozen=True, eq=False)
class ImageSplits:
    """`(task, split) → batches`, read once each.

    Args:
        tables: task → split → rows, in a random order.
        image: the column of images.
        labels: what labels mean.
        form: how images are brought into form.
        build: makes the module, on which the first batch is tried.
        outputs: how many outputs the head must have; as many as the labels need, where `None`.
        batch_size: images per batch.
        argument: what the model calls its images.
    """

    tables: Mapping[str, Mapping[Split, Table]]
    image: str
    labels: Labels
    form: ImageForm
    build: Callable[[], nn.Module]
    outputs: int | None
    batch_size: int
    argument: str | None = None
    made: dict[tuple[str, Split], ImageBatches] = field(default_factory=dict, repr=False)

    def __call__(self, task: str, split: Split) -> ImageBatches:
        """The batches of a task and split, in a random order.

        Raises:
            DataError: no such split, an image that cannot be decoded, images that the module does not take.
            MissingExtraError: Pillow is needed and not installed.
        """
        if (task, split) not in self.made:
            table = table_of_split(self.tables, task, split)
            targets = torch.tensor(self.labels.outputs(table), dtype=torch.long)
            pixels = read_images(table, self.image, self.form)
            batches = ImageBatches(pixels, targets, self.batch_size, self.form, self.argument)
            if not self.made:
                self._try(batches)
            self.made[task, split] = batches
        return self.made[task, split]

    def _try(self, batches: ImageBatches) -> None:
        """Show the module one image: complaints from within it are hard to read."""
        one, _ = next(split_batch(batches[0], 1))
        shape = " × ".join(map(str, batches.pixels.shape[1:]))
        module = self.build().eval()
        try:
            with torch.no_grad():
                outputs = call_module(module, one)
        except Exception as error:
            line = first_line(error)
            raise DataError(
                f"the model does not take an image of {shape} (channels × height × width): {line}. Give the size and "
                "channels that it was made for by the settings 'size' and 'channels'"
            ) from error
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != 1:
            what = f"the shape {list(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
            raise DataError(f"the model returned {what} for one image of {shape}: expected logits [1, classes]")
        needed = max(self.labels.numbers.values()) + 1
        if outputs.shape[1] < needed or self.outputs not in (None, outputs.shape[1]):
            raise DataError(
                f"the model has {outputs.shape[1]} outputs, but the labels name {self.outputs or needed}: name all "
                "outputs in their order by the setting 'labels', or build a model with as many"
            )
