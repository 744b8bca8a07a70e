"""What it costs to choose the weighting by previews and to train it for real.

Two choices: the least mean loss over the tasks, and the least excess of the worst task over its single finetune.
"""

from __future__ import annotations

import numpy as np

from benchmarks.suite.measures.truth import LOSS, Truth
from benchmarks.suite.recording import Recording


def regret(found: Recording, truth: Truth) -> dict[str, float]:
    """Utility of the truth at the chosen weighting, minus its best, in nats, over all weightings."""
    preview, true = found.scores(LOSS).values, truth.joint.scores(LOSS).values[: len(found.weights)]
    best = np.diagonal(truth.corners.scores(LOSS).values)
    return {
        "regret_mean": lost(preview.mean(axis=1), true.mean(axis=1)),
        "regret_worst": lost((preview - best).max(axis=1), (true - best).max(axis=1)),
    }


def lost(preview: np.ndarray, true: np.ndarray) -> float:
    """`true[argmin preview] - min true`.

    >>> lost(np.array([0.2, 0.1, 0.3]), np.array([0.5, 0.75, 0.6]))
    0.25
    """
    return float(true[preview.argmin()] - true.min())
