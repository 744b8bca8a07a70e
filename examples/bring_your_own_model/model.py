"""A small convolutional network, and digits upright or upside down: the user's own code, without paretomerge."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

TASKS = {"upright": 0, "turned": 2}
"""Task to quarter turns: a 6 turned is a 9, so the tasks conflict."""


class Network(nn.Module):
    """8 × 8 pixels to ten classes."""

    def __init__(self) -> None:
        """Fresh weights."""
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(512, 64), nn.GELU(), nn.Linear(64, 10))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, `[B, 10]`."""
        return self.head(self.features(images))


def load_images(task: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Split to images `[n, 1, 8, 8]` and labels `[n]`; an image is in the same split for every task."""
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32)[:, None] / 16
    images = torch.rot90(images, TASKS[task], (2, 3))
    labels = torch.tensor(found.target)
    rest, test = train_test_split(range(len(labels)), test_size=0.3, random_state=0, stratify=labels)
    training, validation = train_test_split(rest, test_size=0.25, random_state=0, stratify=labels[rest])
    numbers = {"training": training, "validation": validation, "test": test}
    return {split: (images[chosen], labels[chosen]) for split, chosen in numbers.items()}
