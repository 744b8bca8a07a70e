"""A few examples through base and finetunes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.errors import DataError, EvaluationError
from paretomerge.stages.checking.rows import Rows
from paretomerge.stages.checking.trials import TRIED, try_models
from paretomerge.types import Problem

READ: list[int] = []


def _data(task: str, split: str) -> list:
    generator = torch.Generator().manual_seed(len(task))
    inputs = torch.randn(200, 2, generator=generator)
    labels = (inputs[:, 0 if task == "a" else 1] > 0).long()
    return list(zip(inputs.split(50), labels.split(50), strict=True))


class _Counting(nn.Linear):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        READ.append(len(inputs))
        return super().forward(inputs)


PROBLEM = Problem(("a", "b"), lambda: _Counting(2, 2), _data)
BASE = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}


def _tune(column: int, sign: float = 1.0) -> dict[str, torch.Tensor]:
    weight = torch.zeros(2, 2)
    weight[1, column] = 3 * sign
    return BASE | {"weight": weight}


def test_finetunes_that_are_better_at_their_task_are_in_order() -> None:
    rows = Rows()
    READ.clear()
    trial = try_models(rows, PROBLEM, BASE, {"a": _tune(0), "b": _tune(1)}, "validation")
    assert [(row.what, row.status) for row in rows.rows] == [("model", "ok"), ("finetunes", "ok")]
    assert rows.rows[0].message == "the base runs, its loss is 0.693 on a, 0.693 on b (128 examples)"
    assert sum(READ) == 4 * TRIED
    assert trial.examples == 400
    assert trial.evaluation == pytest.approx(400 * trial.seconds)
    assert trial.seconds > 0


def test_labels_in_another_order_are_found() -> None:
    rows = Rows()
    try_models(rows, PROBLEM, BASE, {"a": _tune(0), "b": _tune(1, -1.0)}, "validation")
    [warning] = [row for row in rows.rows if row.status == "warning"]
    assert warning.what == "finetunes"
    assert warning.message.startswith("b is no better than the base on its own examples: loss ")
    assert ", accuracy 0.00 against 0." in warning.message
    assert "another order of the labels" in warning.message
    assert not [row for row in rows.rows if row.what == "finetunes" and row.status == "ok"]


def test_the_base_itself_is_no_better_than_the_base() -> None:
    rows = Rows()
    try_models(rows, PROBLEM, BASE, {"a": BASE}, "validation")
    assert rows.rows[-1].message.startswith("a is no better than the base")


@pytest.mark.parametrize("whose", ["the base", "the finetune of a"])
def test_a_loss_that_is_not_finite_is_an_error(whose: str) -> None:
    broken = BASE | {"bias": torch.full((2,), torch.nan)}
    base, tune = (broken, _tune(0)) if whose == "the base" else (BASE, broken)
    with pytest.raises(EvaluationError, match=f"the loss of {whose} on examples of a is nan: its checkpoint is broken"):
        try_models(Rows(), PROBLEM, base, {"a": tune}, "validation")


def test_examples_that_the_model_cannot_read_are_said_so() -> None:
    problem = Problem(("a",), lambda: nn.Linear(3, 2), _data)
    base = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    with pytest.raises(
        DataError, match=r"the model cannot read the examples of a: RuntimeError: .* Do tokenizer, columns"
    ):
        try_models(Rows(), problem, base, {"a": base}, "validation")
