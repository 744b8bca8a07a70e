"""A loss barrier on the straight path between two finetunes.

At the midpoint of finetunes `i` and `j`, for the loss of a task `t` of the two:

    height = l_t( (θ_i + θ_j) / 2 )  -  ½ ( l_t(θ_i) + l_t(θ_j) )

A convex loss, and so every quadratic that a posterior can be, has none (`height <= 0`). A positive height says that the
finetunes lie in different valleys, and that no merge of quadratics previews anything between them (Frankle, Dziugaite,
Roy & Carbin, 2020, Linear Mode Connectivity and the Lottery Ticket Hypothesis, whose error barrier this is, with the
mean of the ends for the ends may be of different tasks).

Shapes: `N` scores, `T` tasks, `M` objectives.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from paretomerge.diagnoses.diagnosis import Diagnosis
from paretomerge.errors import DataError
from paretomerge.types import Scores

SURE = 3.0
"""Standard errors that a height must have."""
HIGH = 0.05
"""Height, relative to the difference of the ends."""
REMEDY = (
    "finetune again from the same base with a smaller learning rate or fewer steps; else a few joint steps from the "
    "merge (finetune --start merged), and verify before you trust a preview"
)


@dataclass(frozen=True)
class Barrier:
    """The barrier of one objective between two finetunes.

    Attributes:
        tasks: whose finetunes.
        objective: what was measured.
        height: in the objective's unit, minimised.
        stderr: of the height, from paired examples.
        drop: `|l_t(θ_i) - l_t(θ_j)|`, the difference of the ends.
    """

    tasks: tuple[str, str]
    objective: str
    height: float
    stderr: float
    drop: float

    @property
    def relative(self) -> float:
        """Height in units of the drop; has no unit."""
        return self.height / self.drop if self.drop > 0 else float(np.sign(self.height)) * float("inf")


def path_weights(tasks: int) -> np.ndarray:
    """Task weights of what is to be measured: the finetunes, then the midpoint of every pair.

    >>> path_weights(2).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    """
    corners = np.eye(tasks)
    return np.array([*corners, *((corners[i] + corners[j]) / 2 for i, j in combinations(range(tasks), 2))])


def barriers_of(scores: Scores) -> tuple[Barrier, ...]:
    """The barriers of every pair of tasks and every objective of one of the two.

    Args:
        scores: of the models at `path_weights`: finetunes and plain averages of two.

    Raises:
        DataError: scores at other weights.
    """
    weights = path_weights(len(scores.tasks))
    if scores.weights.shape != weights.shape or not np.allclose(scores.weights, weights):
        raise DataError("barriers need the scores of every finetune and of every pair's average, see path_weights")
    found = []
    for row, (i, j) in enumerate(combinations(range(len(scores.tasks)), 2), start=len(scores.tasks)):
        pair = (scores.tasks[i], scores.tasks[j])
        for column, objective in enumerate(scores.objectives):
            if objective.task in pair:
                found.append(_barrier(scores, column, (i, j, row), pair))
    return tuple(found)


def barriers_between(found: tuple[Barrier, ...]) -> tuple[Diagnosis, ...]:
    """One warning for each pair of tasks with a barrier that is neither noise nor negligible."""
    diagnoses = []
    for pair in dict.fromkeys(barrier.tasks for barrier in found):
        high = [b for b in found if b.tasks == pair and b.height > SURE * b.stderr and b.relative > HIGH]
        if not high:
            continue
        worst = max(high, key=lambda barrier: barrier.relative)
        evidence = {"height": worst.height, "stderr": worst.stderr, "relative": worst.relative}
        message = (
            f"{pair[0]} and {pair[1]}: a barrier lies between their finetunes, {worst.objective} at the midpoint is "
            f"{worst.height:.3g} (± {1.96 * worst.stderr:.2g}) worse than halfway between the ends"
        )
        diagnoses.append(Diagnosis("barrier", "warning", message, REMEDY, evidence, pair))
    return tuple(diagnoses)


def _barrier(scores: Scores, column: int, rows: tuple[int, int, int], pair: tuple[str, str]) -> Barrier:
    objective, index = scores.objectives[column], list(rows)
    contrast = np.array([-0.5, -0.5, 1.0])
    values = scores.values[index, column] * objective.sign
    covariance = np.diag(scores.own_variance[index, column])
    if scores.shared is not None:
        covariance = covariance + scores.shared[column][np.ix_(index, index)]
    variance = max(float(contrast @ covariance @ contrast), 0.0)
    return Barrier(pair, objective.name, float(contrast @ values), variance**0.5, float(abs(values[0] - values[1])))
