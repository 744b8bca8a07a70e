from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError, DataError, WeightsError
from paretomerge.evaluation import SupervisedEvaluator, evaluate_one, supervised_objectives
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import Batch, Problem, Split

SIZES = {"training": 5, "validation": 4, "test": 11}


class _Model(nn.Module):
    """Dropout and a buffer: evaluation must switch the one off and write the other."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4, dtype=torch.float64)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("shift", torch.zeros(4, dtype=torch.float64))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.dropout(self.linear(inputs)) + self.shift


def _data(task: str, split: Split) -> list[Batch]:
    draw = torch.Generator().manual_seed(len(task) + SIZES[split])
    inputs = torch.randn(SIZES[split], 3, generator=draw, dtype=torch.float64)
    return list(zip(inputs.split(4), torch.randint(4, (SIZES[split],), generator=draw).split(4), strict=True))


def _problem() -> Problem:
    return Problem(("a", "bb"), _Model, _data)


def _params(generator: torch.Generator) -> dict[str, Tensor]:
    shapes = {"linear.weight": (4, 3), "linear.bias": (4,), "shift": (4,)}
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}


def _naive(params: dict[str, Tensor], task: str, split: Split) -> tuple[list[float], list[float]]:
    """One example at a time, the softmax written out."""
    losses, hits = [], []
    for inputs, labels in _data(task, split):
        for example, label in zip(inputs, labels, strict=True):
            logits = params["linear.weight"] @ example + params["linear.bias"] + params["shift"]
            losses.append(float(-torch.log(logits.exp()[label] / logits.exp().sum())))
            hits.append(float(int(logits.argmax()) == int(label)))
    return losses, hits


@pytest.mark.parametrize("split", ["validation", "test"])
def test_losses_and_accuracies_are_those_of_one_example_at_a_time(split: Split, generator: torch.Generator) -> None:
    evaluator = SupervisedEvaluator(_problem(), split)
    for _ in range(2):
        params = _params(generator)
        for task in ("a", "bb"):
            found = evaluator(params, task)
            losses, hits = _naive(params, task, split)
            torch.testing.assert_close(found["loss"].tolist(), losses, rtol=1e-12, atol=0)
            assert found["accuracy"].tolist() == hits


def test_gaussian_losses_are_half_the_squared_error(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 20, generator)
    theta = torch.randn(3, generator=generator, dtype=torch.float64)
    found = SupervisedEvaluator(tasks.problem())(tasks.as_params(theta), "task1")
    assert set(found) == {"loss"}
    expected = 0.5 * (tasks.inputs[1] @ theta - tasks.targets[1]) ** 2
    torch.testing.assert_close(found["loss"], expected, rtol=1e-12, atol=1e-14)


def test_objectives_come_in_blocks_of_one_per_task() -> None:
    objectives = supervised_objectives(_problem())
    assert [objective.name for objective in objectives] == ["loss[a]", "loss[bb]", "accuracy[a]", "accuracy[bb]"]
    assert [objective.direction for objective in objectives] == ["minimise"] * 2 + ["maximise"] * 2
    assert [objective.bounds for objective in objectives] == [(0.0, None)] * 2 + [(0.0, 1.0)] * 2


def test_regressions_have_no_accuracy(generator: torch.Generator) -> None:
    problem = LinearRegressionTasks.random(3, 2, 5, generator).problem()
    assert [objective.metric for objective in supervised_objectives(problem)] == ["loss"] * 3


def test_every_objective_is_found_by_evaluate_one(generator: torch.Generator) -> None:
    problem = _problem()
    result = evaluate_one(_params(generator), SupervisedEvaluator(problem), supervised_objectives(problem))
    assert result.values.shape == (4,)
    assert {len(column) for column in result.examples.values()} == {SIZES["test"]}


def test_parameters_are_read_only(generator: torch.Generator) -> None:
    params = _params(generator)
    before = {name: tensor.clone() for name, tensor in params.items()}
    SupervisedEvaluator(_problem())(params, "a")
    assert all(torch.equal(params[name], before[name]) for name in before)


def test_bad_requests_are_named(generator: torch.Generator) -> None:
    params = _params(generator)
    evaluator = SupervisedEvaluator(_problem())
    with pytest.raises(WeightsError, match="unknown task 'b'"):
        evaluator(params, "b")
    with pytest.raises(AlignmentError, match=r"lack 'linear\.bias'"):
        evaluator({"linear.weight": params["linear.weight"]}, "a")
    empty: Any = Problem(("a",), _Model, lambda task, split: [])
    with pytest.raises(DataError, match="test split of task 'a' has no examples"):
        SupervisedEvaluator(empty)(params, "a")


class _Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 5, dtype=torch.float64)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.embed(tokens)


@pytest.mark.parametrize(("likelihood", "shift"), [("tokens", 0), ("causal", 1)])
def test_the_loss_of_tokens_is_the_mean_over_their_labels(likelihood: Any, shift: int, generator: Any) -> None:
    tokens, targets = torch.tensor([[1, 2, 3], [4, 0, 1]]), torch.tensor([[1, -100, 2], [-100, 3, -100]])
    problem = Problem(("a",), _Tagger, lambda task, split: [(tokens, targets)], likelihood)
    params = {"embed.weight": torch.randn(5, 5, generator=generator, dtype=torch.float64)}
    found = SupervisedEvaluator(problem)(params, "a")
    log_p = params["embed.weight"].log_softmax(-1)
    for b in range(2):
        labelled = [i for i in range(shift, 3) if targets[b, i] != -100]
        each = [-float(log_p[tokens[b, i - shift], targets[b, i]]) for i in labelled]
        assert float(found["loss"][b]) == pytest.approx(sum(each) / len(each), rel=1e-12)
    assert list(found) == ["loss"]
    assert [objective.name for objective in supervised_objectives(problem)] == ["loss[a]"]


@pytest.mark.parametrize("examples", [[0, 1, 2], [10, 3, 4, 0], [7], list(range(11))[::-1]])
def test_some_examples_are_scored_in_the_order_that_was_asked_for(examples: list[int], generator: Any) -> None:
    evaluator = SupervisedEvaluator(_problem())
    params = _params(generator)
    assert evaluator.count_examples("bb") == SIZES["test"]
    whole, some = evaluator(params, "bb"), evaluator(params, "bb", np.array(examples))
    torch.testing.assert_close(some["loss"], whole["loss"][examples], rtol=1e-12, atol=0)
    assert some["accuracy"].tolist() == whole["accuracy"][examples].tolist()


def test_batches_without_wanted_examples_are_not_run_and_mappings_of_inputs_are_cut(generator: Any) -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, dtype=torch.float64))

        def forward(self, inputs: Tensor, scale: float) -> Tensor:
            seen.append(len(inputs))
            return scale * (inputs @ self.weight)[:, None]

    batches = [({"inputs": inputs, "scale": 2.0}, inputs[:, :1]) for inputs, _ in _data("a", "test")]
    problem = Problem(("a",), Counting, lambda task, split: batches, "gaussian")
    params = {"weight": torch.randn(3, generator=generator, dtype=torch.float64)}
    evaluator = SupervisedEvaluator(problem)
    whole = evaluator(params, "a")["loss"]
    seen.clear()
    some = evaluator(params, "a", np.array([9, 1, 8]))["loss"]
    assert seen == [1, 2]
    torch.testing.assert_close(some, whole[[9, 1, 8]], rtol=1e-12, atol=0)
