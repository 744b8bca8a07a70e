from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError, DataError
from paretomerge.evaluation import ModuleEvaluator, count_examples, takes_examples

INPUTS = torch.eye(3, dtype=torch.float64)


def _build() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 1, bias=False, dtype=torch.float64), nn.Dropout(0.9))


def _outputs(module: nn.Module, task: str) -> Tensor:
    return module(INPUTS)[:, 0]


def _params(*values: float) -> dict[str, Tensor]:
    return {"0.weight": torch.tensor([values], dtype=torch.float64)}


def test_a_function_gets_a_live_module_with_the_parameters() -> None:
    evaluator = ModuleEvaluator(_build, _outputs)
    for values in ([1.0, 2.0, 3.0], [-1.0, 0.0, 4.0]):
        assert evaluator(_params(*values), "a").tolist() == values


def test_dropout_is_off_also_after_a_function_has_switched_it_on() -> None:
    def careless(module: nn.Module, task: str) -> Tensor:
        found = _outputs(module, task)
        module.train()
        return found

    evaluator = ModuleEvaluator(_build, careless)
    assert [evaluator(_params(1.0, 2.0, 3.0), "a").tolist() for _ in range(3)] == [[1.0, 2.0, 3.0]] * 3


def test_no_gradients_are_recorded() -> None:
    assert not ModuleEvaluator(_build, _outputs)(_params(1.0, 2.0, 3.0), "a").requires_grad


def test_some_examples_are_scored_if_the_function_takes_them() -> None:
    def some(module: nn.Module, task: str, examples: Any = None) -> Tensor:
        found = _outputs(module, task)
        return found if examples is None else found[examples.tolist()]

    some.count_examples = lambda task: 3  # type: ignore[attr-defined]
    evaluator, whole = ModuleEvaluator(_build, some), ModuleEvaluator(_build, _outputs)
    assert (takes_examples(evaluator), takes_examples(whole)) == (True, False)
    assert (count_examples(evaluator, "a"), count_examples(whole, "a")) == (3, None)
    assert evaluator(_params(1.0, 2.0, 3.0), "a", np.array([2, 0])).tolist() == [3.0, 1.0]
    with pytest.raises(DataError, match="all examples or none: give it a parameter `examples`"):
        whole(_params(1.0, 2.0, 3.0), "a", np.array([2, 0]))


def test_parameters_of_another_model_are_refused() -> None:
    with pytest.raises(AlignmentError, match=r"lack '0\.weight'"):
        ModuleEvaluator(_build, _outputs)({}, "a")
