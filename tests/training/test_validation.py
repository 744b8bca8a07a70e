from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import DataError, TrainingError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import IvonSettings, TrainingRecipe, finetune
from paretomerge.training.batches import StepBatches
from paretomerge.training.losses import TaskLoss
from paretomerge.training.placement import SinglePlacement
from paretomerge.training.precision import Precision
from paretomerge.training.validation import SCALE_EXAMPLES, Check, EarlyStopping, Evaluation, start_scales
from paretomerge.types import Batch, Problem, Split

ALPHA = {"task0": 0.25, "task1": 0.75}


def _overfitting() -> tuple[LinearRegressionTasks, LinearRegressionTasks, Problem]:
    """More parameters than noisy training examples; the truth is zero, so validation is best early on the way there."""
    draw = torch.Generator().manual_seed(3)

    def tasks(examples: int) -> LinearRegressionTasks:
        inputs = tuple(torch.randn(examples, 12, generator=draw, dtype=torch.float64) for _ in ALPHA)
        return LinearRegressionTasks(inputs, tuple(torch.randn(examples, generator=draw).double() for _ in ALPHA))

    training, validation = tasks(6), tasks(40)

    def data(task: str, split: Split) -> Any:
        return (training if split == "training" else validation).problem().data(task, split)

    return training, validation, Problem(training.tasks, training.problem().build, data, "gaussian")


def _start(tasks: LinearRegressionTasks) -> dict[str, Tensor]:
    theta = torch.full((12,), 0.5, dtype=torch.float64)
    return tasks.as_params(theta)


RECIPE = TrainingRecipe(steps=200, examples_per_task=6, learning_rate=0.05, check_every=10, patience=3)


def _weighted(tasks: LinearRegressionTasks, theta: Tensor, scales: dict[str, float] | None = None) -> float:
    return sum(
        weight / (scales or {}).get(task, 1.0) * float(tasks.loss(number, theta))
        for number, (task, weight) in enumerate(ALPHA.items())
    )


def test_training_that_overfits_stops_and_returns_the_best_parameters() -> None:
    training, validation, problem = _overfitting()
    messages: list[str] = []
    found = finetune(problem, _start(training), ALPHA, RECIPE, on_message=messages.append)
    losses = [check.loss for check in found.checks]
    best = losses.index(min(losses))
    assert 0 < best < len(losses) - 1
    assert len(losses) == best + 1 + 3
    assert [check.step for check in found.checks] == [10 * number for number in range(len(losses))]
    assert found.steps == 10 * best
    assert len(found.history) == 10 * (len(losses) - 1) < 200
    theta = found.params["linear.weight"][0]
    assert _weighted(validation, theta) == pytest.approx(losses[best], rel=1e-12)
    assert torch.equal(found.posterior.mean["linear.weight"][0], theta)
    assert messages == [found.stopped]
    assert found.stopped.startswith(f"stopped after step {10 * (best + 3)} of 200: the weighted validation loss was")
    assert f"{losses[best]:.4g}, after step {10 * best}, and not lower in the 3 checks since" in found.stopped
    assert found.ledger.evaluations == len(losses)
    assert found.ledger.gradient_passes == len(found.history) * 12


def test_ivon_stops_too_and_its_posterior_lies_at_the_best_mean() -> None:
    """Steps this long leave a start that was better."""
    training, _, problem = _overfitting()
    settings = IvonSettings(learning_rate=0.3, hess_init=1.0, ess=1e3, temperature=1.0, clip_radius=None)
    recipe = TrainingRecipe.of(RECIPE.identity() | {"optimizer": "ivon", "ivon": settings})
    found = finetune(problem, _start(training), ALPHA, recipe)
    assert (found.steps, len(found.history)) == (0, 30)
    assert torch.equal(found.params["linear.weight"], _start(training)["linear.weight"])
    assert torch.equal(found.posterior.mean["linear.weight"], found.params["linear.weight"])
    assert (found.posterior.precision["linear.weight"] > 0).any()


def test_checks_report_every_task_and_change_nothing() -> None:
    training, validation, problem = _overfitting()
    recipe = TrainingRecipe(steps=25, examples_per_task=6, learning_rate=0.05, check_every=10)
    found = finetune(problem, _start(training), ALPHA, recipe)
    plain = finetune(problem, _start(training), ALPHA, TrainingRecipe(25, 6, 0.05))
    assert found.history == plain.history
    assert torch.equal(found.params["linear.weight"], plain.params["linear.weight"])
    assert [check.step for check in found.checks] == [0, 10, 20, 25]
    assert (found.steps, found.stopped) == (25, "")
    last, theta = found.checks[-1], found.params["linear.weight"][0]
    for number, task in enumerate(training.tasks):
        assert last.losses[task] == pytest.approx(float(validation.loss(number, theta)), rel=1e-12)
    assert last.loss == pytest.approx(_weighted(validation, theta), rel=1e-12)
    assert (plain.checks, plain.steps, plain.ledger.evaluations) == ((), 25, 0)


def test_the_start_is_returned_where_nothing_is_better() -> None:
    training, validation, problem = _overfitting()
    start = training.as_params(validation.minimiser(torch.tensor(list(ALPHA.values()), dtype=torch.float64)))
    found = finetune(problem, start, ALPHA, RECIPE)
    assert found.steps == 0
    assert torch.equal(found.params["linear.weight"], start["linear.weight"])


def test_patience_that_lasts_to_the_end_still_returns_the_best() -> None:
    training, validation, problem = _overfitting()
    found = finetune(problem, _start(training), ALPHA, TrainingRecipe.of(RECIPE.identity() | {"patience": 1000}))
    best = min(found.checks, key=lambda check: check.loss)
    assert len(found.history) == 200
    assert found.stopped == ""
    assert found.steps == best.step < 200
    assert _weighted(validation, found.params["linear.weight"][0]) == pytest.approx(best.loss, rel=1e-12)


class _Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout, self.linear = nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(self.dropout(self.norm(inputs)))


def _dropping() -> tuple[Problem, dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    batches: list[Batch] = [(torch.randn(n, 3, generator=draw), torch.randint(2, (n,), generator=draw)) for n in (9, 4)]
    torch.manual_seed(2)
    return Problem(("a",), _Dropping, lambda task, split: batches), _Dropping().state_dict()


def test_checks_have_no_dropout_and_do_not_disturb_that_of_training() -> None:
    problem, start = _dropping()
    recipe = TrainingRecipe(steps=6, examples_per_task=8, check_every=1)
    found = finetune(problem, start, {"a": 1.0}, recipe)
    assert found.history == finetune(problem, start, {"a": 1.0}, TrainingRecipe(steps=6, examples_per_task=8)).history
    module = _Dropping().eval()
    module.load_state_dict(found.params)
    joined = [torch.cat(parts) for parts in zip(*problem.batches("a", "validation"), strict=True)]
    expected = float(nn.functional.cross_entropy(module(joined[0]), joined[1]).detach())
    assert found.checks[-1].losses["a"] == pytest.approx(expected, rel=1e-5)


class _Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs + torch.rand(()))


def test_what_a_model_draws_in_a_check_is_drawn_again_in_training() -> None:
    problem = Problem(("a",), _Random, _dropping()[0].data)
    torch.manual_seed(0)
    start = _Random().state_dict()
    histories = [
        finetune(problem, start, {"a": 1.0}, TrainingRecipe(steps=4, examples_per_task=3, check_every=every)).history
        for every in (None, 1)
    ]
    assert histories[0] == histories[1]


def _evaluation(problem: Problem) -> Evaluation:
    return Evaluation(TaskLoss.of(problem), SinglePlacement(), Precision("float32", torch.device("cpu")))


def test_mean_losses_weigh_every_example_alike_and_leave_the_mode() -> None:
    problem, start = _dropping()
    for training in (True, False):
        module = problem.build().train(training)
        module.load_state_dict(start)
        found = _evaluation(problem).mean_losses(module, {"a": problem.batches("a", "test")})
        assert module.training is training
        module.eval()
        each = [
            nn.functional.cross_entropy(module(inputs), targets, reduction="none")
            for inputs, targets in problem.batches("a", "test")
        ]
        assert found["a"] == pytest.approx(float(torch.cat(each).mean().detach()), rel=1e-6)


def test_a_normalised_training_divides_by_the_losses_at_its_start() -> None:
    training, _, problem = _overfitting()
    messages: list[str] = []
    recipe = TrainingRecipe(steps=3, examples_per_task=6, learning_rate=0.01, normalise="start")
    found = finetune(problem, _start(training), ALPHA, recipe, on_message=messages.append)
    theta = _start(training)["linear.weight"][0]
    expected = {task: float(training.loss(number, theta)) for number, task in enumerate(ALPHA)}
    assert found.scales == pytest.approx(expected, rel=1e-12)
    # All examples are drawn in every step: the first loss is Σ α_t l_t / l_t = 1.
    assert found.history[0] == pytest.approx(1.0, rel=1e-12)
    assert messages == [
        "the loss of each task is divided by its mean where training starts: "
        f"task0 {expected['task0']:.4g}, task1 {expected['task1']:.4g} (task weights weigh relative changes)"
    ]
    assert found.ledger.evaluations == 1


def test_the_gradient_of_a_normalised_training_is_the_scaled_sum() -> None:
    training, _, problem = _overfitting()
    theta = _start(training)["linear.weight"][0]
    modules: list[Any] = []
    watched = Problem(
        problem.tasks, lambda: modules.append(problem.build()) or modules[-1], problem.data, "gaussian"
    )  # fmt: skip
    recipe = TrainingRecipe(steps=1, examples_per_task=6, learning_rate=0.01, normalise="start")
    finetune(watched, _start(training), ALPHA, recipe)
    expected = sum(
        weight / float(training.loss(n, theta)) * (training.hessians[n] @ (theta - training.finetune(n)))
        for n, weight in enumerate(ALPHA.values())
    )
    torch.testing.assert_close(modules[0].linear.weight.grad[0], expected, rtol=1e-9, atol=1e-9)


def test_the_checked_loss_is_the_normalised_one() -> None:
    training, validation, problem = _overfitting()
    recipe = TrainingRecipe(steps=5, examples_per_task=6, learning_rate=0.01, normalise="start", check_every=5)
    found = finetune(problem, _start(training), ALPHA, recipe)
    theta = found.params["linear.weight"][0]
    assert found.checks[-1].loss == pytest.approx(_weighted(validation, theta, dict(found.scales)), rel=1e-12)
    assert found.checks[-1].losses["task1"] == pytest.approx(float(validation.loss(1, theta)), rel=1e-12)


def test_scales_without_normalisation_are_one() -> None:
    training, _, problem = _overfitting()
    recipe = TrainingRecipe(steps=1, examples_per_task=2)
    assert finetune(problem, _start(training), {"task0": 1.0, "task1": 0.0}, recipe).scales == {"task0": 1.0}


def test_scales_are_measured_on_a_limited_number_of_random_examples() -> None:
    seen: list[Tensor] = []

    def counted(module: nn.Module, batch: Batch) -> Tensor:
        seen.append(batch[1])
        return batch[1][:, 0] + 1.0

    count = SCALE_EXAMPLES + 500
    targets = torch.arange(float(count))[:, None]
    problem = Problem(("a",), nn.Identity, lambda task, split: [(targets, targets)], "gaussian", counted)
    batches = StepBatches(problem, {"a": 1.0}, TrainingRecipe(), 0)
    scales = start_scales(_evaluation(problem), nn.Identity(), batches, 0)
    rows = torch.cat(seen)[:, 0]
    assert len(rows) == len(rows.unique()) == SCALE_EXAMPLES
    assert rows.max() > SCALE_EXAMPLES
    assert scales["a"] == pytest.approx(float(rows.double().mean()) + 1, rel=1e-9)


@pytest.mark.parametrize("loss", [0.0, -1.0, math.nan])
def test_a_loss_that_nothing_can_be_divided_by_is_refused(loss: float) -> None:
    problem = Problem(
        ("a",), _Dropping, _dropping()[0].data, "gaussian", lambda module, batch: torch.full((len(batch[1]),), loss)
    )
    with pytest.raises(
        TrainingError, match=rf"loss of task 'a' is {loss:g} where training starts.*normalise to 'none'"
    ):
        finetune(problem, _dropping()[1], {"a": 1.0}, TrainingRecipe(normalise="start"))


def test_checks_without_validation_examples_are_refused_before_training() -> None:
    problem, start = _dropping()
    empty = Problem(
        ("a",), _Dropping, lambda task, split: problem.data(task, split) if split == "training" else [], "categorical"
    )
    steps: list[int] = []
    with pytest.raises(DataError, match="validation split of task 'a' has no examples"):
        finetune(empty, start, {"a": 1.0}, TrainingRecipe(check_every=1), on_step=lambda *seen: steps.append(1))
    assert not steps


def test_a_start_whose_validation_loss_is_not_finite_is_refused() -> None:
    problem, start = _dropping()

    def data(task: str, split: Split) -> list[Batch]:
        return [(inputs + (math.inf if split == "validation" else 0), y) for inputs, y in problem.data(task, split)]

    broken = Problem(("a",), _Dropping, data)
    with pytest.raises(TrainingError, match="the validation loss is nan where training starts"):
        finetune(broken, start, {"a": 1.0}, TrainingRecipe(steps=1, check_every=1))


def test_a_loss_that_is_not_a_number_counts_as_no_improvement() -> None:
    stopping = EarlyStopping(2)
    parameter = {"w": torch.zeros(1)}
    for step, loss in enumerate((2.0, math.nan, 1.0, 1.0)):
        stopping.add(Check(step, {}, loss), parameter)
        assert not stopping.is_over
        parameter["w"] += 1
    stopping.add(Check(4, {}, math.nan), parameter)
    assert stopping.is_over
    stopping.restore_best(parameter)
    assert float(parameter["w"]) == 2.0
    assert stopping.best == Check(2, {}, 1.0)


def test_without_patience_nothing_is_remembered() -> None:
    stopping = EarlyStopping(None)
    parameter = {"w": torch.zeros(1)}
    for step in range(50):
        stopping.add(Check(step, {}, float(step)), parameter)
    parameter["w"] += 1
    stopping.restore_best(parameter)
    assert not stopping.is_over
    assert float(parameter["w"]) == 1.0
    assert stopping.told(100) == ""
