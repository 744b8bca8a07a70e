"""What a recipe names, opened: checkpoints, problem, run folder, and the digests of what they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from paretomerge.checkpoints import Checkpoint
from paretomerge.errors import RecipeError
from paretomerge.recipes import Recipe
from paretomerge.runs import RunFolder
from paretomerge.stages.problems import load_questions, problem_source
from paretomerge.types import Problem, Questions, Split


@dataclass(frozen=True)
class Opened:
    """What a recipe names: checkpoints, problem and run folder.

    Args:
        recipe: the settings.
        folder: where results go.
        base: the base checkpoint, lazily.
        finetunes: task → checkpoint, lazily.
        problem: model and data, when the recipe names them.
    """

    recipe: Recipe
    folder: RunFolder
    base: Checkpoint
    finetunes: Mapping[str, Checkpoint]
    problem: Problem | None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Task names, in the recipe's order."""
        return tuple(self.recipe.tasks)

    @cached_property
    def digests(self) -> dict[str, str]:
        """What evaluations depend on besides method and weights: the checkpoints' contents."""
        return {"base": self.base.digest, **{task: finetune.digest for task, finetune in self.finetunes.items()}}

    @cached_property
    def questions(self) -> Questions | None:
        """The examples as prompts with an answer, read once; `None` where the problem has none.

        Raises:
            DataError, CheckpointError, MissingExtraError: as `load_questions`.
        """
        return load_questions(self.recipe, self.base)

    def require_problem(self, what: str) -> Problem:
        """The problem, or `RecipeError`."""
        if self.problem is None:
            raise RecipeError(
                f"{what} needs model and data: give `problem:` in the recipe, sequence_classification, causal_lm, or a "
                "function that returns a Problem"
            )
        return self.problem

    def problem_digest(self, split: Split) -> str:
        """What curvature, losses and trainings depend on: the problem's source and the examples of a split.

        The source of a problem made from files is the model's configuration.
        """
        problem = self.require_problem("this")
        if split not in self._problem_digests:
            digest = hashlib.sha256(f"{problem.likelihood}|{self.recipe.problem}|".encode())
            digest.update(problem_source(self.recipe, self.base))
            digest.update(_digest_examples(problem, split).encode())
            self._problem_digests[split] = digest.hexdigest()
        return self._problem_digests[split]

    @cached_property
    def _problem_digests(self) -> dict[Split, str]:
        return {}


def _digest_examples(problem: Problem, split: Split) -> str:
    digest = hashlib.sha256()
    for task in problem.tasks:
        for inputs, targets in problem.batches(task, split):
            parts = inputs.values() if isinstance(inputs, Mapping) else [inputs]
            for tensor in (*parts, targets):
                if isinstance(tensor, torch.Tensor):
                    digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
