"""Random images in files, for the tests of reading them, and the smallest module that classifies them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

image = pytest.importorskip("PIL.Image", reason="the optional extra images is not installed")


def pixels(seed: int, height: int = 4, width: int = 4, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(values: np.ndarray, kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    image.fromarray(values).save(held, kind)
    return held.getvalue()


def write_image(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(values))
    return path


def write_classes(folder: Path, classes: Sequence[str] = ("bright", "dark"), count: int = 6, **size: int) -> Path:
    """`count` images a class, of which those of the first are brighter."""
    for number, name in enumerate(classes):
        for seed in range(count):
            values = pixels(100 * number + seed, **size)
            write_image(folder / name / f"{seed}.png", values // 2 if number else values // 2 + 128)
    return folder


def linear(side: int = 4, channels: int = 3, outputs: int = 2) -> Any:
    """A function that builds a linear classifier."""
    return lambda: nn.Sequential(nn.Flatten(), nn.Linear(channels * side**2, outputs))


class Pooled(nn.Module):
    """A classifier of the mean colour, of images of any size."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.head = nn.Linear(3, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images.mean((-1, -2)))
