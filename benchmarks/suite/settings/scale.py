"""The tasks of `digits-conflict` and its grid, with narrower and wider transformers; `digits-conflict` itself is 48.

Learning rates go with one over the width, so that models of all widths learn about as fast.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.suite.setting import Definition
from benchmarks.suite.settings.small_images import DigitTask, SmallImages
from paretomerge.demo.trainings import FINETUNING, PRETRAINING, grid

SHOWN = {24: "15 thousand", 96: "227 thousand", 192: "0.9 million"}
"""Width → parameters."""


def scale(width: int) -> Definition:
    """The same tasks, images, weightings and recipe at another width."""
    return SmallImages(
        f"scale-{width}",
        f"digits upright, rotated and mirrored; one head, a ViT of {SHOWN[width]} parameters",
        (DigitTask("upright"), DigitTask("rotated", quarters=1), DigitTask("mirrored", mirrored=True)),
        grid(),
        (0, 1, 2),
        ("classic", "posteriors", "steps"),
        width=width,
        recipe=replace(FINETUNING, learning_rate=FINETUNING.learning_rate * 48 / width),
        pretraining=replace(PRETRAINING, learning_rate=PRETRAINING.learning_rate * 48 / width),
    ).definition


SCALE_24 = scale(24)
SCALE_96 = scale(96)
SCALE_192 = scale(192)
