"""Different evaluators for different tasks, as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.evaluation.base import Evaluator
from paretomerge.evaluation.combined import CombinedEvaluator
from paretomerge.evaluation.subsets import count_examples, takes_examples


@dataclass(frozen=True, eq=False)
class ByTask:
    """Scores each task by the evaluator that it has.

    Raises:
        DataError: when called for a task that none scores.
    """

    parts: Mapping[str, Evaluator]

    @property
    def takes_examples(self) -> bool:
        """Whether parts of the examples can be scored: all can, and those of one task count alike."""
        return all(takes_examples(part) and _agree(part, task) for task, part in self.parts.items())

    @property
    def not_means(self) -> tuple[str, ...]:
        """Metrics that are no means over examples."""
        return tuple(dict.fromkeys(name for part in self.parts.values() for name in getattr(part, "not_means", ())))

    def count_examples(self, task: str) -> int | None:
        """How many examples of a task there are."""
        return count_examples(self._part(task), task)

    def __call__(self, params: Any, task: str, examples: np.ndarray | None = None) -> Any:
        """Score one model on one task."""
        part = self._part(task)
        return part(params, task) if examples is None else part(params, task, examples=examples)

    def _part(self, task: str) -> Evaluator:
        if task not in self.parts:
            raise DataError(
                f"no evaluator scores the task {task!r}: name it below lm_eval, or add an evaluator such as  "
                "metrics: [loss, accuracy]"
            )
        return self.parts[task]


def _agree(part: Evaluator, task: str) -> bool:
    """Whether evaluators that score a task together have the same examples, as far as their number tells."""
    parts = part.parts if isinstance(part, CombinedEvaluator) else (part,)
    return len({count_examples(each, task) for each in parts}) == 1
