"""The tasks of `digits-conflict` with training sets of very different sizes.

Joint finetuning draws as many examples of a small task as of a large one, so a small one is seen very often; its
curvature is measured on what there is. Validation and test are as large as elsewhere, since it is the training sizes
that are varied. A fiftieth of scikit-learn's digits, 14 images, teaches nothing (finetuned on them, a model is worse
than the base), so that ratio has MNIST's, reduced to the same 8 × 8.
"""

from __future__ import annotations

from benchmarks.suite.setting import Definition
from benchmarks.suite.settings.digit_images import ImageSource, bundled_digits, reduced_mnist
from benchmarks.suite.settings.small_images import DigitTask, SmallImages
from paretomerge.demo.trainings import grid


def imbalanced(ratio: int, images: ImageSource, source: str, smallest: int) -> Definition:
    """Training sizes in geometric progression, the first task's `ratio` times the last one's."""
    largest, medium = smallest * ratio, round(smallest * ratio**0.5)
    return SmallImages(
        f"imbalanced-{ratio}",
        f"{source} upright, rotated and mirrored, with {largest}, {medium} and {smallest} training images; one head, "
        "a ViT of 58 thousand parameters",
        (
            DigitTask("upright", training=largest),
            DigitTask("rotated", quarters=1, training=medium),
            DigitTask("mirrored", mirrored=True, training=smallest),
        ),
        grid(),
        (0, 1, 2, 3, 4),
        ("classic", "posteriors", "steps", "searches-few"),
        images=images,
        facts={"ratio": ratio},
    ).definition


IMBALANCED_10 = imbalanced(10, bundled_digits, "digits", 70)
IMBALANCED_50 = imbalanced(50, reduced_mnist, "MNIST's digits, reduced to 8 × 8,", 200)
