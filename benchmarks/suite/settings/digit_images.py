"""Where the small settings' digits come from: 8 × 8 images, divided into splits by the seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.assets.images import Part, mnist
from paretomerge.demo.digits import SIZES, TASKS, batches_of

LabelledImages = Mapping[str, tuple[Tensor, Tensor]]
"""Part (a split, or `"pretraining"`) → upright images `[n, 8, 8]`, standardised, and the digits `[n]` on them."""
ImageSource = Callable[[int, Path], LabelledImages]
"""`(seed, assets) →` images."""

MNIST_SIZES: Mapping[Part, Mapping[str, int]] = {
    "train": {"pretraining": 300, "training": 10_000, "validation": 300},
    "test": {"test": 1000},
}


def bundled_digits(seed: int, assets: Path) -> LabelledImages:
    """scikit-learn's digits, divided as in the demo; needs no assets."""
    found = {}
    for part in SIZES:
        batches = batches_of(seed, part, TASKS[0])
        found[part] = torch.cat([images for images, _ in batches]), torch.cat([digits for _, digits in batches])
    return found


def reduced_mnist(seed: int, assets: Path) -> LabelledImages:
    """MNIST's digits without their margin, every 3 × 3 pixels averaged: there are far more than scikit-learn has.

    Test images come from MNIST's own test part, all others from its training part.
    """
    generator = torch.Generator().manual_seed(1000 + seed)
    found = {}
    for part, sizes in MNIST_SIZES.items():
        known = mnist(assets)[part]
        order = torch.randperm(len(known.labels), generator=generator)
        for name, size in sizes.items():
            chosen, order = order[:size], order[size:]
            whole = torch.tensor(known.images[chosen.numpy(), 2:-2, 2:-2], dtype=torch.float32) / 255
            found[name] = nn.functional.avg_pool2d(whole, 3), torch.tensor(known.labels[chosen.numpy()])
    first = found["pretraining"][0]
    mean, spread = first.mean(), first.std()
    return {part: ((images - mean) / spread, digits) for part, (images, digits) in found.items()}
