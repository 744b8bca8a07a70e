from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import TrainingError, WeightsError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import ExamplePool, TrainingRecipe, finetune, weighted_loss
from paretomerge.types import Ledger, Params, Problem, Weights

FAST = TrainingRecipe(steps=12, examples_per_task=4, learning_rate=1e-2)


def _uneven(generator: torch.Generator) -> LinearRegressionTasks:
    """Two regressions with 6 and 30 examples."""
    inputs = tuple(torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (6, 30))
    return LinearRegressionTasks(
        inputs, tuple(torch.randn(n, generator=generator, dtype=torch.float64) for n in (6, 30))
    )


def _start(tasks: LinearRegressionTasks) -> Params:
    return tasks.as_params(torch.zeros(tasks.inputs[0].shape[1], dtype=torch.float64))


def _gradient(tasks: LinearRegressionTasks, counts: dict[str, int], alpha: dict[str, float], draws: int) -> Tensor:
    """Mean over `draws` of the gradient of `weighted_loss` at zero."""
    problem = tasks.problem()
    module = problem.build()
    with torch.no_grad():
        module.linear.weight.zero_()
    pools = {task: ExamplePool(problem.batches(task, "training"), 7) for task, weight in alpha.items() if weight > 0}
    total = torch.zeros(tasks.inputs[0].shape[1], dtype=torch.float64)
    for _ in range(draws):
        module.zero_grad()
        weighted_loss(module, pools, alpha, counts, "gaussian").backward()
        total += module.linear.weight.grad[0] / draws
    return total


def _exact_gradient(tasks: LinearRegressionTasks, alpha: dict[str, float]) -> Tensor:
    parts = [
        weight * -x.T @ y / len(x) for weight, x, y in zip(alpha.values(), tasks.inputs, tasks.targets, strict=True)
    ]
    return torch.stack(parts).sum(0)


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_the_gradient_of_whole_epochs_is_the_weighted_sum_whatever_the_sizes(
    weight: float, generator: torch.Generator
) -> None:
    tasks = _uneven(generator)
    alpha = {"task0": weight, "task1": 1 - weight}
    # 5 draws of 6 are five epochs of the small task and one of the large one.
    found = _gradient(tasks, {"task0": 6, "task1": 6}, alpha, draws=5)
    torch.testing.assert_close(found, _exact_gradient(tasks, alpha), rtol=1e-12, atol=1e-13)


def test_tasks_may_be_drawn_in_unequal_numbers(generator: torch.Generator) -> None:
    tasks = _uneven(generator)
    alpha = {"task0": 0.25, "task1": 0.75}
    found = _gradient(tasks, {"task0": 3, "task1": 15}, alpha, draws=2)
    torch.testing.assert_close(found, _exact_gradient(tasks, alpha), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("mix", ["equal", "proportional"])
@pytest.mark.parametrize("alpha", [(0.5, 0.5), (0.2, 0.8), (1.0, 0.0)])
def test_finetuning_quadratic_losses_reaches_the_weighted_minimiser(
    mix: str, alpha: tuple[float, float], generator: torch.Generator
) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 24, generator)
    recipe = TrainingRecipe(steps=800, examples_per_task=24, learning_rate=0.05, mix=mix)  # type: ignore[arg-type]
    weights = dict(zip(tasks.tasks, alpha, strict=True))
    result = finetune(tasks.problem(), _start(tasks), weights, recipe)
    expected = tasks.minimiser(torch.tensor(alpha, dtype=torch.float64))
    # Equal batches of 24 are whole epochs, hence exact gradients; others leave the noise of the last steps.
    tolerance = 1e-6 if mix == "equal" else 5e-2
    torch.testing.assert_close(result.params["linear.weight"][0], expected, rtol=0, atol=tolerance)


def test_a_corner_reads_only_its_own_task(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    problem = tasks.problem()

    def data(task: str, split: str) -> object:
        assert task == "task0", "a task of weight zero was read"
        return problem.data(task, "training")

    lonely = Problem(problem.tasks, problem.build, data, "gaussian")  # type: ignore[arg-type]
    corner = finetune(lonely, _start(tasks), {"task0": 1.0, "task1": 0.0}, FAST)
    assert corner.ledger.gradient_passes == FAST.steps * FAST.examples_per_task


def test_a_corner_is_the_finetune_of_a_single_task_problem(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    single = LinearRegressionTasks(tasks.inputs[:1], tasks.targets[:1])
    corner = finetune(tasks.problem(), _start(tasks), {"task0": 1.0, "task1": 0.0}, FAST, seed=3)
    alone = finetune(single.problem(), _start(tasks), {"task0": 1.0}, FAST, seed=3)
    assert torch.equal(corner.params["linear.weight"], alone.params["linear.weight"])
    assert corner.history == alone.history


def test_training_starts_from_what_it_is_given(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 24, generator)
    theta = tasks.minimiser(torch.tensor([0.5, 0.5], dtype=torch.float64))
    recipe = TrainingRecipe(steps=1, examples_per_task=24, learning_rate=1e-12)
    warm = finetune(tasks.problem(), tasks.as_params(theta), {"task0": 0.5, "task1": 0.5}, recipe)
    cold = finetune(tasks.problem(), _start(tasks), {"task0": 0.5, "task1": 0.5}, recipe)
    torch.testing.assert_close(warm.params["linear.weight"][0], theta, rtol=0, atol=1e-11)
    assert warm.history[0] < cold.history[0]
    expected = 0.5 * (tasks.loss(0, theta) + tasks.loss(1, theta))
    assert warm.history[0] == pytest.approx(float(expected), rel=1e-12)


def test_the_start_is_not_written_to(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(1, 3, 10, generator)
    start = _start(tasks)
    finetune(tasks.problem(), start, {"task0": 1.0}, FAST)
    assert not start["linear.weight"].any()


class _Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("phase", torch.rand(1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.dropout(self.linear(inputs + self.phase))


def _noisy() -> tuple[Problem, Params]:
    draw = torch.Generator().manual_seed(1)
    batch = (torch.randn(20, 3, generator=draw), torch.randint(2, (20,), generator=draw))
    start = {"linear.weight": torch.zeros(2, 3), "linear.bias": torch.zeros(2)}
    return Problem(("a",), _Noisy, lambda task, split: [batch]), start


def test_the_same_seed_gives_the_same_result_and_leaves_the_global_generator_alone() -> None:
    problem, start = _noisy()
    runs = []
    for disturbance, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(disturbance)
        before = torch.get_rng_state()
        runs.append(finetune(problem, start, {"a": 1.0}, FAST, seed=seed))
        assert torch.equal(torch.get_rng_state(), before)
    first, same, other = runs
    assert first.history == same.history
    assert all(torch.equal(first.params[name], same.params[name]) for name in first.params)
    assert first.history != other.history


def test_the_seed_orders_the_examples(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    alpha = {"task0": 0.5, "task1": 0.5}
    histories = [finetune(tasks.problem(), _start(tasks), alpha, FAST, seed=seed).history for seed in (0, 1, 0)]
    assert histories[0] == histories[2] != histories[1]


def test_the_result_has_the_history_the_ledger_and_reports_every_step(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    seen: list[tuple[int, float]] = []
    result = finetune(
        tasks.problem(),
        _start(tasks),
        Weights(("task1", "task0"), [0.25, 0.75]),
        FAST,
        on_step=lambda step, loss: seen.append((step, loss)),
    )
    assert [step for step, _ in seen] == list(range(FAST.steps))
    assert tuple(loss for _, loss in seen) == result.history
    assert result.ledger == Ledger(1, FAST.steps * FAST.examples_per_task * 2, 0, result.ledger.seconds)
    assert result.ledger.seconds > 0


def test_gradients_are_clipped_before_the_step(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(1, 3, 10, generator)
    problem, modules, norms = tasks.problem(), [], []

    def build() -> nn.Module:
        modules.append(problem.build())
        return modules[-1]

    watched = Problem(problem.tasks, build, problem.data, "gaussian")
    recipe = TrainingRecipe(steps=3, examples_per_task=4, learning_rate=1e-3, max_norm=1e-3)
    finetune(
        watched,
        _start(tasks),
        {"task0": 1.0},
        recipe,
        on_step=lambda step, loss: norms.append(float(modules[0].linear.weight.grad.norm())),
    )
    assert len(norms) == 3
    assert max(norms) <= 1e-3 * (1 + 1e-6)


def test_weight_decay_shrinks_towards_zero(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(1, 3, 10, generator)
    theta = tasks.finetune(0)
    recipe = {"steps": 50, "examples_per_task": 10, "learning_rate": 1e-2}
    free = finetune(tasks.problem(), tasks.as_params(theta), {"task0": 1.0}, TrainingRecipe(**recipe))
    decayed = finetune(
        tasks.problem(), tasks.as_params(theta), {"task0": 1.0}, TrainingRecipe(**recipe, weight_decay=5.0)
    )
    assert decayed.params["linear.weight"].norm() < 0.9 * free.params["linear.weight"].norm()


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        (TrainingRecipe(steps=30, examples_per_task=4, learning_rate=1e300), "the loss became"),
        # The only step overflows after its finite loss: nothing runs the broken parameters afterwards.
        (
            TrainingRecipe(steps=1, examples_per_task=4, learning_rate=1e308, weight_decay=2.0),
            "not finite after 1 step",
        ),
    ],
)
def test_a_diverged_training_says_so_and_what_to_lower(
    recipe: TrainingRecipe, what: str, generator: torch.Generator
) -> None:
    tasks = LinearRegressionTasks.random(1, 3, 10, generator)
    start = tasks.as_params(torch.full((3,), 1e20, dtype=torch.float64))
    with pytest.raises(TrainingError, match=what) as caught:
        finetune(tasks.problem(), start, {"task0": 1.0}, recipe)
    assert "lower the learning rate" in str(caught.value)


def test_a_step_that_torch_refuses_is_a_training_error() -> None:
    problem, start = _noisy()
    wide = Problem(("a",), problem.build, lambda task, split: [(torch.zeros(8, 5), torch.zeros(8, dtype=torch.long))])
    with pytest.raises(TrainingError, match=r"broke at step 0 of 12: .*5 .*3"):
        finetune(wide, start, {"a": 1.0}, FAST)


def test_what_a_listener_raises_is_not_a_failure_of_the_training() -> None:
    problem, start = _noisy()

    def full(step: int, loss: float) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match=r"^enough$"):
        finetune(problem, start, {"a": 1.0}, FAST, on_step=full)


def test_weights_off_the_simplex_are_refused_before_training(generator: torch.Generator) -> None:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    for weights, message in (
        ({"task0": 0.5, "task1": 0.6}, "sum to 1.1"),
        ({"task0": 1.5, "task1": -0.5}, "negative"),
        ({"task0": 1.0}, "no weight for task 'task1'"),
        ({"task0": math.nan, "task1": 1.0}, "NaN"),
    ):
        with pytest.raises(WeightsError, match=message):
            finetune(tasks.problem(), _start(tasks), weights, FAST)
