"""Parts of an evaluation set: a fixed random order of its examples, of which a model is scored on a growing prefix.

The order depends on a seed and the number of examples alone, so all models are scored on the same ones, every prefix
is a random subset, and a longer prefix adds to what a shorter one has measured.

An evaluator that takes the keyword `examples` (an array of numbers of examples) can score parts.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation.base import Evaluator, Metrics


@dataclass(frozen=True, order=True)
class Part:
    """The examples `start` to `stop` (not included) of a random order of `count` examples.

    >>> Part(0, 4, 4).examples.tolist(), Part(1, 3, 4).examples.tolist()
    ([3, 0, 1, 2], [0, 1])

    Raises:
        DataError: a range outside of the examples, or nothing in it.
    """

    start: int
    stop: int
    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an empty part."""
        if not 0 <= self.start < self.stop <= self.count:
            raise DataError(f"examples {self.start} to {self.stop} of {self.count} are no part of them")

    @property
    def examples(self) -> np.ndarray:
        """Their numbers in the evaluation set, in the random order."""
        return np.random.default_rng([self.seed, self.count]).permutation(self.count)[self.start : self.stop]

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.seed}:{self.count}:{self.start}:{self.stop}"

    @classmethod
    def parse(cls, text: str) -> Part:
        """The inverse of `str`."""
        seed, count, start, stop = (int(number) for number in text.split(":"))
        return cls(start, stop, count, seed)


def join_parts(parts: Sequence[tuple[Part, Metrics]]) -> tuple[Part, Metrics] | None:
    """The longest prefix that parts cover together: scores in the random order, and which part of it they are.

    Returns:
        `None` when no part starts at the first example.
    """
    joined: tuple[Part, Metrics] | None = None
    for part, metrics in sorted(parts, key=lambda pair: pair[0]):
        start = 0 if joined is None else joined[0].stop
        if part.start > start:
            break
        if part.stop <= start:
            continue
        new = {name: scores[start - part.start :] for name, scores in metrics.items()}
        if joined is not None:
            if joined[1].keys() != new.keys():
                raise EvaluationError(
                    f"the evaluator returned {', '.join(map(repr, joined[1]))} on some examples and "
                    f"{', '.join(map(repr, new))} on others: it must return the same metrics for all"
                )
            new = {name: np.concatenate([joined[1][name], scores]) for name, scores in new.items()}
        joined = (Part(0, part.stop, part.count, part.seed), new)
    return joined


def in_own_order(part: Part, metrics: Metrics) -> Metrics:
    """The scores of all examples, from the random order back into the evaluation set's own.

    Raises:
        DataError: a part that is not all of them.
    """
    if (part.start, part.stop) != (0, part.count):
        raise DataError(f"only the examples {part.start} to {part.stop} of {part.count} were scored")
    places = np.argsort(part.examples)
    return {name: scores[places] for name, scores in metrics.items()}


def takes_examples(evaluator: Evaluator) -> bool:
    """Whether an evaluator can score some of the examples: it has a parameter `examples`, or says so itself.

    One that stands for others says by an attribute `takes_examples` whether these can.
    """
    said = getattr(evaluator, "takes_examples", None)
    if said is not None:
        return bool(said)
    try:
        return "examples" in inspect.signature(evaluator).parameters
    except (TypeError, ValueError):
        return False


def require_means(evaluator: Evaluator) -> None:
    """Refuse to score parts of the examples, and to join them, by an evaluator whose scores are no means over examples.

    An evaluator names such metrics by its attribute `not_means`, see `evaluation.ratios`.

    Raises:
        DataError: with the metric, and what to do.
    """
    for name in getattr(evaluator, "not_means", ()):
        raise DataError(
            f"{name!r} is no mean over examples, so it cannot be measured on parts of them and joined, as racing does: "
            f"set front.racing to false, or leave {name!r} out of the metrics"
        )


def count_examples(evaluator: Evaluator, task: str) -> int | None:
    """How many examples of a task an evaluator scores; `None` when it does not say, by a method `count_examples`."""
    ask = getattr(evaluator, "count_examples", None)
    count = None if ask is None else ask(task)
    return None if count is None else int(count)
