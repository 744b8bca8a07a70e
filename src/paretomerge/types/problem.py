"""`Problem`: the model and the data of a multitask finetuning, as three functions.

Everything that computes (curvature, evaluation, training) sees models and data only through it, so any
PyTorch module and any source of batches will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from paretomerge.errors import DataError
from paretomerge.types.weights import require_tasks

Split = Literal["training", "validation", "test"]
LikelihoodName = Literal["categorical", "gaussian", "tokens", "causal"]

SPLITS: tuple[Split, ...] = ("training", "validation", "test")

Batch = tuple[Any, Tensor]
"""Inputs (a tensor, or a mapping of keyword arguments as tokenizers give) and targets."""


def require_task_and_split(task: str, split: str, tasks: Sequence[str]) -> None:
    """Refuse what a problem does not have.

    Raises:
        WeightsError: an unknown task.
        DataError: an unknown split.
    """
    if task not in tasks:
        require_tasks([task], tasks)
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}: one of {', '.join(SPLITS)}")


@dataclass(frozen=True)
class Problem:
    """What is finetuned, on which tasks, on which examples.

    Args:
        tasks: task names.
        build: makes a fresh module of the right architecture (its parameters are overwritten).
        data: `(task, split) → batches`: a sequence that gives the same batches each time it is read.
            Splits: `training` (finetunes, and curvature), `validation` (ridge, links, choices), `test`
            (every reported number).
        likelihood: `"categorical"` (softmax cross-entropy), `"gaussian"` (half the squared error), `"tokens"`
            (cross-entropy of every labelled position; -100 is no label) or `"causal"` (the same for language models
            whose position `i` predicts the target at `i + 1`).
        loss_fn: a loss of your own, `(module, batch) → [n]` losses of the batch's examples, or their mean. It is what
            is trained and measured; posteriors that need the likelihood's curvature are refused then.
    """

    tasks: tuple[str, ...]
    build: Callable[[], nn.Module]
    data: Callable[[str, Split], Sequence[Batch]]
    likelihood: LikelihoodName = "categorical"
    loss_fn: Callable[[nn.Module, Batch], Tensor] | None = None

    def batches(self, task: str, split: Split) -> Sequence[Batch]:
        """The batches of one task and split.

        Raises:
            WeightsError: an unknown task.
            DataError: an unknown split, or one without examples.
        """
        require_task_and_split(task, split, self.tasks)
        batches = self.data(task, split)
        if not any(len(targets) for _, targets in batches):
            raise DataError(
                f"the {split} split of task {task!r} has no examples: check the data path, filters and split sizes"
            )
        return batches

    def count_examples(self, task: str, split: Split) -> int:
        """How many examples a task has in a split.

        Raises:
            WeightsError, DataError: as `batches`.
        """
        return sum(len(targets) for _, targets in self.batches(task, split))
