"""`Problem`s of classifying images, for a Hugging Face image classifier or any module."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from paretomerge.errors import DataError
from paretomerge.problems.image_batches import ImageSplits
from paretomerge.problems.image_files import image_reading
from paretomerge.problems.image_forms import image_form
from paretomerge.problems.images import image_keys, require_files
from paretomerge.problems.labels import is_generic, read_labels
from paretomerge.problems.models import BuildModel, ModelFolder, read_model
from paretomerge.problems.sources import Source, find_tables
from paretomerge.problems.split_batches import require_sizes
from paretomerge.problems.splits import Splitting, sample, share_out
from paretomerge.problems.tables import Table
from paretomerge.types import Problem, Split

ARGUMENT = "pixel_values"
"""What Hugging Face models call their images."""


def image_classification_problem(
    model: str | PathLike[str] | Callable[[], nn.Module],
    data: Mapping[str, Source],
    *,
    image: str = "image",
    label: str = "label",
    labels: Sequence[str | int] | None = None,
    size: int | Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    channels: int | None = None,
    batch_size: int = 32,
    examples: int | None = None,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
) -> Problem:
    """A problem of classifying images, from a model and folders, tables or arrays of images.

    A module of one's own gets `[n, channels, height, width]` floats from 0 to 1, less `mean` and divided by `std`, and
    returns logits `[n, classes]`. Its outputs are `labels`, or the classes of all tasks in sorted order, or, where
    labels are numbers, these numbers. Rows and labels are read and checked now, images are decoded when a split is
    first used, and stay in memory with a byte per pixel and channel.

    Args:
        model: the folder of a Hugging Face image classifier, whose `config.json` and `preprocessor_config.json` say
            what its outputs mean and how it takes images; or a function without arguments that builds the module.
        data: task → a folder `split/class/images`, or `class/images`, which is shared out; a table with images or names
            of files in any form of `sequence_classification_problem`; or arrays `images` and `labels` in `.npz` files.
        image: the column of images: encoded, as `{bytes, path}`, or names of files relative to the table.
        label: the column of the label.
        labels: names of the outputs in their order, where the model has none or others.
        size: pixels of a side, or height and width, to which images are resized; the model's, or as they are.
        mean: what is subtracted from pixels of 0 to 1, of all channels or of each; the model's, or 0.
        std: what they are divided by then, of all channels or of each; the model's, or 1.
        channels: 1 (grey), 3 (colours) or 4 (and opacity); the model's, or 3.
        batch_size: images per batch of curvature and evaluation.
        examples: of every task and split at most, a random sample; all when `None`.
        shares: of training, validation and test where a task comes as one. Equal images stay together: those of the
            same bytes, or of the same name where a table has names.
        split_seed: of the shares and of the order of examples.

    Raises:
        DataError: nothing there, missing columns or files, labels that are not the head's; when a split is first used:
            images that cannot be decoded, or that the model does not take.
        CheckpointError: no such model, or one without a classifier's head.
        MissingExtraError: Pillow, transformers, or what reads a table is not installed.
    """
    require_sizes(batch_size=batch_size)
    folder = None if callable(model) else _classifier(model)
    form = image_form(folder, size, mean, std, channels)
    how = Splitting(tuple(shares), split_seed, examples)  # type: ignore[arg-type]
    tables = {task: _read(task, source, image, label, how) for task, source in data.items()}
    meant = read_labels(tables, label, folder.head if folder is not None else None, labels)
    for splits in tables.values():
        for table in splits.values():
            require_files(table, image)
    build: Callable[[], nn.Module]
    if callable(model):
        build, outputs = _Build(model), None if is_generic(meant.names) else len(meant.names)
    else:
        build, outputs = BuildModel(Path(model).expanduser().absolute(), "ImageClassification"), None
    argument = None if callable(model) else ARGUMENT
    batches = ImageSplits(tables, image, meant, form, build, outputs, batch_size, argument)
    return Problem(tuple(data), build, batches)


def _classifier(model: str | PathLike[str] | Callable[[], nn.Module]) -> ModelFolder:
    if not isinstance(model, str | PathLike):
        raise DataError(
            f"model: expected the folder of a Hugging Face image classifier or a function that builds a module, got "
            f"{type(model).__name__}"
        )
    folder = read_model(model)
    folder.require("ImageClassification")
    return folder


def _read(task: str, source: Source, image: str, label: str, how: Splitting) -> dict[Split, Table]:
    tables = find_tables(task, source, image_reading(image, label))
    if isinstance(tables, Table):
        keys = dict(zip(tables.numbers, image_keys(tables, image), strict=True))
        shared = share_out(tables, list(keys.values()), how)
        return {split: sample(part, [keys[number] for number in part.numbers], how) for split, part in shared.items()}
    return {split: sample(table, image_keys(table, image), how) for split, table in tables.items()}


@dataclass(frozen=True)
class _Build:
    """Builds a module of one's own; parameters are overwritten, so the caller's randomness is left alone."""

    model: Callable[[], nn.Module]

    def __call__(self) -> nn.Module:
        """Build.

        Raises:
            DataError: something else than a module.
        """
        with torch.random.fork_rng(devices=[]):
            module = self.model()
        if not isinstance(module, nn.Module):
            raise DataError(f"model: the function returned {type(module).__name__}, not a torch.nn.Module")
        return module
