"""Eight and sixteen tasks: digits in all orientations of a square, then also bright for dark.

Weightings are sums of few dyadic fractions, so that they are exactly on the simplex and their folders tell them apart.

Shapes: `K` weightings, `T` tasks.
"""

from __future__ import annotations

import numpy as np

from benchmarks.suite.settings.small_images import DigitTask, SmallImages

METHODS = ("classic", "posteriors", "searches")


def orientations(inverted: bool = False) -> tuple[DigitTask, ...]:
    """The eight symmetries of a square; bright for dark where asked for."""
    ending = ", inverted" if inverted else ""
    return tuple(
        DigitTask(f"{'mirrored ' if mirrored else ''}{90 * quarters}{ending}", quarters, mirrored, inverted)
        for mirrored in (False, True)
        for quarters in range(4)
    )


def leaning(tasks: int, to: list[int]) -> np.ndarray:
    """`[T]`: half of the weight on some tasks, the other half on all."""
    weights = np.full(tasks, 0.5 / tasks)
    weights[to] += 0.5 / len(to)
    return weights


def drawn(tasks: int, count: int, parts: int = 64) -> np.ndarray:
    """`[count, T]` uniform on the simplex, in whole parts: what users ask for that no design foresees."""
    random = np.random.default_rng(tasks)
    return np.stack([random.multinomial(parts, random.dirichlet(np.ones(tasks))) for _ in range(count)]) / parts


def eight() -> np.ndarray:
    """`[15, 8]`: equal weights, one leaning to each task, six drawn at random."""
    return np.concatenate([np.full((1, 8), 1 / 8), [leaning(8, [task]) for task in range(8)], drawn(8, 6)])


def sixteen() -> np.ndarray:
    """`[11, 16]`: equal weights, leaning to either contrast and to four single tasks, four drawn at random."""
    contrasts = [leaning(16, list(range(8))), leaning(16, list(range(8, 16)))]
    single = [leaning(16, [task]) for task in (0, 5, 10, 15)]
    return np.concatenate([np.full((1, 16), 1 / 16), contrasts, single, drawn(16, 4)])


EIGHT = SmallImages(
    "many-tasks-8",
    "digits in the eight orientations of a square; one head, a ViT of 58 thousand parameters",
    orientations(),
    eight(),
    (0, 1, 2),
    METHODS,
).definition

SIXTEEN = SmallImages(
    "many-tasks-16",
    "digits in the eight orientations of a square, bright and dark; one head, a ViT of 58 thousand parameters",
    (*orientations(), *orientations(inverted=True)),
    sixteen(),
    (0, 1, 2),
    METHODS,
).definition
