"""Functions that score a live module, where evaluators get parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from paretomerge.errors import DataError
from paretomerge.evaluation.base import Evaluator, PerExample
from paretomerge.evaluation.subsets import count_examples, takes_examples
from paretomerge.types import Params, load_in_place


@dataclass(frozen=True, eq=False)
class ModuleEvaluator:
    """`(params, task) → function(module, task)`, with the parameters written into one live module.

        evaluator = ModuleEvaluator(problem.build, lambda module, task: hits(module(inputs[task]), labels[task]))

    The module is in evaluation mode whenever the function gets it, and no gradients are recorded. The function must
    leave the parameters as they are in nothing: they are overwritten before each call.

    Args:
        build: makes the module.
        function: `(module, task) → per-example scores`; with a parameter `examples`, it can score some of them, and
            with an attribute `count_examples` it says how many there are.
    """

    build: Callable[[], nn.Module]
    function: Evaluator
    _module: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the module once."""
        object.__setattr__(self, "_module", self.build())

    @property
    def takes_examples(self) -> bool:
        """Whether the function can score some of the examples."""
        return takes_examples(self.function)

    def count_examples(self, task: str) -> int | None:
        """How many examples of a task the function scores; `None` where it does not say."""
        return count_examples(self.function, task)

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> PerExample:
        """Score one model on one task.

        Raises:
            DataError: some examples, where the function has no parameter of that name.
            AlignmentError: parameters of another architecture.
        """
        if examples is not None and not self.takes_examples:
            raise DataError("the function scores all examples or none: give it a parameter `examples`, or do not race")
        some: dict[str, Any] = {} if examples is None else {"examples": examples}
        load_in_place(self._module, params)
        with torch.no_grad():
            return self.function(self._module.eval(), task, **some)
