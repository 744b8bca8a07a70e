"""Objectives that contradict: the same digits, to be called by other names.

Where labels are opposed, no model serves both: the best answer to an image is the mixture of both names by the
weights, so that the loss of each is the entropy of the choice, and the front is known but for what the model cannot
learn. Averaged parameters have no reason to give that mixture.

The base of `conflicting` has seen both namings, that of `adversarial` the plain one only, which the second task has to
undo: so one finetune goes much farther than the other.
"""

from __future__ import annotations

import numpy as np

from benchmarks.suite.settings.small_images import DIGITS, DigitTask, SmallImages

OPPOSED = (*DIGITS[:5], 6, 7, 8, 9, 5)
"""The upper five digits go by each other's names."""
ADVERSARIAL = (*DIGITS[1:], 0)
"""Every digit goes by the name of the next."""
EIGHTHS = np.array([4, 2, 6, 1, 7, 3, 5]) / 8
"""Of the first task; those that come first are those of smoke versions."""
WEIGHTS = np.stack([EIGHTHS, 1 - EIGHTHS], axis=1)
PLAIN = DigitTask("plain")

CONFLICTING = SmallImages(
    "conflicting",
    "the same digits with opposed labels for half of the classes; one head, a ViT of 58 thousand parameters",
    (PLAIN, DigitTask("opposed", labels=OPPOSED)),
    WEIGHTS,
    (0, 1, 2, 3, 4),
    ("classic", "posteriors", "routes", "mixtures", "steps", "searches"),
).definition

ADVERSARIAL_PAIR = SmallImages(
    "adversarial",
    "the same digits with opposed labels for all classes; one head, a ViT of 58 thousand parameters",
    (PLAIN, DigitTask("adversarial", labels=ADVERSARIAL)),
    WEIGHTS,
    (0, 1, 2, 3, 4),
    ("classic", "posteriors", "mixtures-few", "steps", "searches-few"),
    taught=(PLAIN,),
).definition
