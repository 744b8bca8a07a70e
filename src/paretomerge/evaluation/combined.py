"""Several evaluators as one: their metrics side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation.base import Evaluator
from paretomerge.evaluation.subsets import count_examples, takes_examples


@dataclass(frozen=True, eq=False)
class CombinedEvaluator:
    """`(params, task) → the metrics of all parts`.

    Some of the examples can be scored if every part can; how many there are says the first part that knows.

    Args:
        parts: the evaluators.

    Raises:
        DataError: no parts.
    """

    parts: Sequence[Evaluator]

    def __post_init__(self) -> None:
        """Refuse nothing at all."""
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise DataError("no evaluators to combine: give at least one")

    @property
    def takes_examples(self) -> bool:
        """Whether every part can score some of the examples."""
        return all(takes_examples(part) for part in self.parts)

    @property
    def not_means(self) -> tuple[str, ...]:
        """The parts' metrics that are no means over examples."""
        return tuple(name for part in self.parts for name in getattr(part, "not_means", ()))

    def count_examples(self, task: str) -> int | None:
        """How many examples of a task there are; `None` where no part says."""
        counts = (count_examples(part, task) for part in self.parts)
        return next((count for count in counts if count is not None), None)

    def __call__(self, params: Any, task: str, examples: np.ndarray | None = None) -> dict[str, Any]:
        """Score one model on one task by every part.

        Raises:
            DataError: some examples, where not every part can score them.
            EvaluationError: two parts return a metric of the same name.
        """
        if examples is not None and not self.takes_examples:
            raise DataError(
                "some of these evaluators score all examples or none: give each a parameter `examples`, or do not race"
            )
        some = {} if examples is None else {"examples": examples}
        joined: dict[str, Any] = {}
        for part in self.parts:
            returned = part(params, task, **some)
            metrics = returned if isinstance(returned, Mapping) else {"": returned}
            twice = [str(name) for name in metrics if str(name) in joined]
            if twice:
                raise EvaluationError(
                    f"two evaluators of task {task!r} return the metric {twice[0]!r}: give one of them another name, "
                    "as a mapping of metric to scores"
                )
            joined |= {str(name): scores for name, scores in metrics.items()}
        return joined
