"""What a run asks for, and what is known of it already: the input of every cost model.

Shapes: `T` tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from paretomerge.planning.sizes import ModelSize
from paretomerge.planning.tracing import Passes
from paretomerge.training import TrainingRecipe

Known = Literal["measured", "estimated", "unknown"]
"""How a number is known: from this run's journal, from a cost model, or not at all."""


@dataclass(frozen=True)
class Search:
    """How a front is searched.

    Args:
        evaluations: merged models that are measured at most.
        first: points of the first batch.
        batch: points of every further batch.
        workers: processes that measure side by side.
        asynchronous: whether a point is proposed whenever a worker is free.
        shared: whether the workers of a machine share base, finetunes and posteriors, as Ray's do; those of a pool
            have their own.
    """

    evaluations: int = 15
    first: int = 5
    batch: int = 5
    workers: int = 1
    asynchronous: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Measured:
    """What a run's journal says, in seconds; `None` where it says nothing.

    Args:
        fit: of the posteriors of all tasks.
        evaluation: of one merged model on all tasks, by one worker.
        training: of one joint finetuning.
    """

    fit: float | None = None
    evaluation: float | None = None
    training: float | None = None


@dataclass(frozen=True, eq=False)
class Workload:
    """A run, as its costs see it.

    Args:
        size: of the base; finetunes are as large.
        tasks: `T`.
        fit: family of the posteriors and its settings; `None` where posteriors are given.
        groups: parameter groups of a subspace.
        examples: `"fit"`, `"front"`, `"training"`, `"validation"`, `"test"` → examples per task.
        passes: of one example; `None` where nothing can be known.
        reads_posteriors: whether the rule merges posteriors, instead of the finetunes as they are.
        search: how the front is searched.
        training: of a joint finetuning.
        verified: joint finetunings for `verify`.
        own_pace: whether the recipe has evaluators of its own, whose time nobody can know beforehand.
        measured: what the run's journal says already.
    """

    size: ModelSize
    tasks: int
    fit: Any = None
    groups: int = 1
    examples: Mapping[str, float] = field(default_factory=dict)
    passes: Passes | None = None
    reads_posteriors: bool = True
    search: Search = Search()
    training: TrainingRecipe = field(default_factory=TrainingRecipe)
    verified: int = 3
    own_pace: bool = False
    measured: Measured = Measured()

    def count(self, what: str) -> float:
        """Examples per task; zero where there are none."""
        return self.examples.get(what, 0.0)
