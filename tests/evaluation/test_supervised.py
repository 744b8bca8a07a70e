from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import AlignmentError, DataError, EvaluationError, WeightsError
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
        hits = [int(log_p[tokens[b, i - shift]].argmax()) == int(targets[b, i]) for i in labelled]
        assert float(found["accuracy"][b]) == pytest.approx(sum(hits) / len(hits), abs=1e-15)
    loss, accuracy = supervised_objectives(problem)
    assert (loss.name, loss.unit, accuracy.name, accuracy.bounds) == (
        *("loss[a]", "nats per token"),
        *("accuracy[a]", (0.0, 1.0)),
    )


def test_a_right_token_counts_only_where_there_is_a_label() -> None:
    """Half of the labelled positions are right, and the unlabelled ones count neither way."""
    tokens = torch.tensor([[0, 1, 2, 3]])
    problem = Problem(("a",), _Tagger, lambda task, split: [(tokens, torch.tensor([[0, -100, 3, -100]]))], "tokens")
    found = SupervisedEvaluator(problem)({"embed.weight": torch.eye(5, dtype=torch.float64)}, "a")
    assert found["accuracy"].tolist() == [0.5]
    nothing = Problem(("a",), _Tagger, lambda task, split: [(tokens, torch.full((1, 4), -100))], "tokens")
    found = SupervisedEvaluator(nothing)({"embed.weight": torch.eye(5, dtype=torch.float64)}, "a")
    assert found["accuracy"].tolist() == [0.0]


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


def _own_loss(reduce: bool):
    """Half the squared distance to the one-hot label, of each example or their mean."""

    def loss_fn(module: nn.Module, batch: Batch) -> Tensor:
        inputs, labels = batch
        errors = module(inputs) - nn.functional.one_hot(labels, 4)
        losses = 0.5 * errors.square().sum(-1)
        return losses.mean() if reduce else losses

    return loss_fn


def _own_problem(reduce: bool) -> Problem:
    return Problem(("a", "bb"), _Model, _data, loss_fn=_own_loss(reduce))


def test_a_loss_of_the_problems_own_is_what_is_measured(generator: torch.Generator) -> None:
    params = _params(generator)
    found = SupervisedEvaluator(_own_problem(False))(params, "bb")
    inputs, labels = (torch.cat(parts) for parts in zip(*_data("bb", "test"), strict=True))
    outputs = inputs @ params["linear.weight"].T + params["linear.bias"] + params["shift"]
    expected = 0.5 * (outputs - nn.functional.one_hot(labels, 4)).square().sum(-1)
    assert list(found) == ["loss"]
    torch.testing.assert_close(found["loss"], expected, rtol=1e-12, atol=1e-14)


def test_a_loss_of_the_problems_own_has_neither_accuracy_nor_bounds_nor_unit() -> None:
    objectives = supervised_objectives(_own_problem(False))
    assert [objective.name for objective in objectives] == ["loss[a]", "loss[bb]"]
    assert {(objective.bounds, objective.unit, objective.direction) for objective in objectives} == {
        ((None, None), "", "minimise")
    }


def test_means_of_batches_weigh_by_their_size(generator: torch.Generator) -> None:
    """Batches of 4, 4 and 3 examples: the mean of the scores is the mean over all examples."""
    params = _params(generator)
    each, means = (SupervisedEvaluator(_own_problem(reduce))(params, "a")["loss"] for reduce in (False, True))
    assert len(means) == SIZES["test"]
    assert float(means.mean()) == pytest.approx(float(each.mean()), rel=1e-12)


def test_means_of_batches_have_the_standard_error_of_the_mean_loss(generator: torch.Generator) -> None:
    """Target: the error from single examples; budget: 400 batches, whose spread is known to 1/√800."""
    losses = torch.randn(400, 8, generator=generator, dtype=torch.float64).exp()
    batches = [(row, row) for row in losses]

    class Nothing(nn.Module):
        pass

    problem = Problem(("a",), Nothing, lambda task, split: batches, loss_fn=lambda module, batch: batch[1].mean())
    found = evaluate_one({}, SupervisedEvaluator(problem), supervised_objectives(problem))
    expected = float(losses.std() / 3200**0.5)
    assert float(found.stderr[0]) == pytest.approx(expected, rel=0.1)


def test_some_examples_have_a_score_where_losses_are_per_example_only(generator: torch.Generator) -> None:
    params, some = _params(generator), np.array([9, 1])
    whole = SupervisedEvaluator(_own_problem(False))(params, "a")["loss"]
    found = SupervisedEvaluator(_own_problem(False))(params, "a", some)["loss"]
    torch.testing.assert_close(found, whole[some.tolist()], rtol=1e-12, atol=0)
    with pytest.raises(DataError, match=r"loss of task 'a' is one number per batch.*one loss per example"):
        SupervisedEvaluator(_own_problem(True))(params, "a", some)


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        (torch.zeros(2), r"a tensor of shape \[2\] for a batch of 4 examples"),
        (torch.zeros(4, 1), r"a tensor of shape \[4, 1\]"),
        (0.5, "a float"),
        (None, "a NoneType"),
    ],
)
def test_a_loss_of_another_shape_is_refused(returned: Any, what: str, generator: torch.Generator) -> None:
    problem = Problem(("a",), _Model, _data, loss_fn=lambda module, batch: returned)
    with pytest.raises(EvaluationError, match=rf"loss_fn returned {what}.*task 'a': return one loss per example"):
        SupervisedEvaluator(problem)(_params(generator), "a")


def test_dropout_is_off_in_a_loss_of_the_problems_own(generator: torch.Generator) -> None:
    evaluator, params = SupervisedEvaluator(_own_problem(False)), _params(generator)
    assert torch.equal(evaluator(params, "a")["loss"], evaluator(params, "a")["loss"])


def test_f1_is_that_of_all_examples_together(generator: torch.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    params = _params(generator)
    evaluator = SupervisedEvaluator(_problem(), metrics=["f1"])
    inputs, labels = (torch.cat(parts) for parts in zip(*_data("bb", "test"), strict=True))
    guesses = (inputs @ params["linear.weight"].T + params["linear.bias"] + params["shift"]).argmax(-1)
    found = evaluator(params, "bb")
    assert list(found) == ["f1"]
    assert len(found["f1"]) == SIZES["test"]
    assert float(found["f1"].mean()) == pytest.approx(metrics.f1_score(labels, guesses, average="macro"), abs=1e-12)


def test_metrics_come_in_the_order_asked_for_and_as_the_objectives_name_them(generator: torch.Generator) -> None:
    problem, params = _problem(), _params(generator)
    wanted = ("f1", "accuracy", "loss")
    evaluator = SupervisedEvaluator(problem, metrics=wanted)
    assert tuple(evaluator(params, "a")) == wanted
    result = evaluate_one(params, evaluator, supervised_objectives(problem, wanted))
    assert list(result.examples) == [f"{metric}[{task}]" for metric in wanted for task in ("a", "bb")]
    assert torch.equal(evaluator(params, "a")["loss"], SupervisedEvaluator(problem)(params, "a")["loss"])


@pytest.mark.parametrize(("likelihood", "shift"), [("tokens", 0), ("causal", 1)])
def test_perplexity_counts_every_token_the_same(likelihood: Any, shift: int, generator: Any) -> None:
    """One text has two labels (one behind the shift), the other one: their losses do not weigh the same."""
    tokens, targets = torch.tensor([[1, 2, 3], [4, 0, 1]]), torch.tensor([[-100, 1, 2], [-100, 3, -100]])
    problem = Problem(("a",), _Tagger, lambda task, split: list(_apart(tokens, targets)), likelihood)
    params = {"embed.weight": torch.randn(5, 5, generator=generator, dtype=torch.float64)}
    log_p = params["embed.weight"].log_softmax(-1)
    each = [
        -float(log_p[tokens[b, i - shift], targets[b, i]]) for b in range(2) for i in range(3) if targets[b, i] != -100
    ]
    found = SupervisedEvaluator(problem, metrics="perplexity")(params, "a")
    assert float(found["perplexity"].mean()) == pytest.approx(np.exp(np.mean(each)), rel=1e-12)
    (objective,) = supervised_objectives(problem, ["perplexity"])
    assert (objective.name, objective.bounds, objective.metric) == ("perplexity[a]", (1.0, None), "perplexity")


def _apart(tokens: Tensor, targets: Tensor) -> Any:
    return zip(tokens.split(1), targets.split(1), strict=True)


def test_what_is_no_mean_is_not_measured_on_parts(generator: torch.Generator) -> None:
    evaluator = SupervisedEvaluator(_problem(), metrics=["loss", "f1"])
    assert (evaluator.not_means, SupervisedEvaluator(_problem()).not_means) == (("f1",), ())
    with pytest.raises(DataError, match=r"'f1' is no mean over examples.*set front\.racing to false"):
        evaluator(_params(generator), "a", np.array([1, 2]))


def test_unknown_metrics_are_refused_before_anything_is_built() -> None:
    def never() -> nn.Module:
        raise AssertionError

    problem = Problem(("a",), never, _data)
    with pytest.raises(DataError, match="has no 'perplexity': it has loss, accuracy, f1"):
        SupervisedEvaluator(problem, metrics=["perplexity"])
    with pytest.raises(DataError, match="'exact_match' is measured on questions, not on batches"):
        supervised_objectives(Problem(("a",), never, _data, "causal"), ["exact_match"])
