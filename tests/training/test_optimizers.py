from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from paretomerge.errors import TrainingError
from paretomerge.testing import LinearRegressionTasks
from paretomerge.training import Ivon, IvonSettings, TrainingRecipe, finetune
from paretomerge.training.losses import loss_of_batch
from paretomerge.training.optimizers import make_optimizer
from paretomerge.types import Params, Problem

SETTINGS = IvonSettings(learning_rate=0.1, hess_init=1.0, temperature=1.0, beta2=0.9, clip_radius=None)
RECIPE = TrainingRecipe(steps=6, examples_per_task=4, optimizer="ivon", ivon=SETTINGS)
ALPHA = {"task0": 0.25, "task1": 0.75}


def _tasks(generator: torch.Generator) -> tuple[LinearRegressionTasks, Params]:
    tasks = LinearRegressionTasks.random(2, 3, 10, generator)
    return tasks, tasks.as_params(torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64))


def test_adamw_takes_the_settings_of_the_recipe() -> None:
    module = nn.Linear(2, 1)
    module.bias.requires_grad_(False)
    optimizer = make_optimizer(module, TrainingRecipe(learning_rate=0.2, weight_decay=0.3), 10, seed=0)
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.2, 0.3, 1)


def test_ivon_takes_every_setting_of_the_recipe() -> None:
    settings = IvonSettings(0.2, 0.4, 30.0, 0.5, 0.7, 0.8, 0.05, "zero", 0.6, 2)
    module = nn.Linear(2, 1)
    optimizer = make_optimizer(module, TrainingRecipe(optimizer="ivon", ivon=settings), 10, seed=9)
    assert isinstance(optimizer, Ivon)
    expected = {
        "lr": 0.2, "hess_init": 0.4, "ess": 60.0, "betas": (0.7, 0.8), "weight_decay": 0.05, "clip_radius": 0.6,
        "seed": 9,
    }  # fmt: skip
    assert {key: optimizer.param_groups[0][key] for key in expected} == expected
    with optimizer.sampled_params():
        pass
    assert "prior_mean" not in optimizer.state[module.weight]


def test_finetuning_with_ivon_is_the_loop_written_by_hand(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    recipe = replace(RECIPE, examples_per_task=10, ivon=replace(SETTINGS, samples=2))
    found = finetune(tasks.problem(), start, ALPHA, recipe, seed=3)
    module = tasks.problem().build()
    module.load_state_dict(start)
    optimizer = Ivon(module.named_parameters(), 0.1, ess=20.0, hess_init=1.0, betas=(0.9, 0.9), seed=3)
    # Ten of ten examples: the order changes rounding only.
    batch = {
        task: (inputs, targets[:, None])
        for task, inputs, targets in zip(tasks.tasks, tasks.inputs, tasks.targets, strict=True)
    }
    for step in range(recipe.steps):
        optimizer.param_groups[0]["lr"] = 0.1 * recipe.rate(step)
        losses = []
        for _ in range(2):
            with optimizer.sampled_params():
                loss = loss_of_batch(module, batch, ALPHA, "gaussian")
                loss.backward()
            losses.append(float(loss.detach()))
        optimizer.step()
        assert found.history[step] == pytest.approx(sum(losses) / 2, rel=1e-10)
    expected = optimizer.posterior(module.named_parameters())
    assert found.posterior is not None
    for name in start:
        torch.testing.assert_close(found.params[name], expected.mean[name], rtol=1e-10, atol=0)
        torch.testing.assert_close(found.posterior.mean[name], expected.mean[name], rtol=1e-10, atol=0)
        torch.testing.assert_close(found.posterior.precision[name], expected.precision[name], rtol=1e-10, atol=0)
    assert found.ledger.gradient_passes == 6 * 20 * 2


def test_adamw_gives_its_second_moments_as_curvature(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    alpha = {"task0": 1.0, "task1": 0.0}
    problem = tasks.problem(batch_size=len(tasks.targets[0]))
    whole = TrainingRecipe(steps=1, examples_per_task=len(tasks.targets[0]), learning_rate=1e-9)
    found = finetune(problem, start, alpha, whole)
    theta = start["linear.weight"][0].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(tasks.loss(0, theta), theta)
    expected = len(tasks.targets[0]) * gradient.square()
    torch.testing.assert_close(found.posterior.precision["linear.weight"][0].double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.posterior.mean["linear.weight"], found.params["linear.weight"], rtol=0, atol=0)
    assert found.posterior.mean["linear.weight"] is not found.params["linear.weight"]


def test_the_sample_size_counts_the_examples_of_weighted_tasks_only(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    runs = [
        finetune(tasks.problem(), start, {"task0": 1.0, "task1": 0.0}, replace(RECIPE, ivon=replace(SETTINGS, ess=ess)))
        for ess in (None, 10.0, 20.0)
    ]
    assert runs[0].history == runs[1].history != runs[2].history


def test_a_run_depends_on_its_seed_alone(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    histories = []
    for disturbance, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(disturbance)
        # All examples in every step: what is left of the seed is the noise.
        recipe = replace(RECIPE, examples_per_task=10)
        histories.append(finetune(tasks.problem(), start, ALPHA, recipe, seed=seed).history)
    assert histories[0] == pytest.approx(histories[1], rel=1e-12)
    assert histories[0] != pytest.approx(histories[2], rel=1e-3)


def test_the_posterior_covers_what_a_checkpoint_holds() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.second = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3)
            self.second.weight = self.first.weight

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.second(self.norm(self.first(inputs)))

    draw = torch.Generator().manual_seed(1)
    batch = (torch.randn(20, 3, generator=draw), torch.randint(3, (20,), generator=draw))
    problem = Problem(("a",), Tied, lambda task, split: [batch])
    result = finetune(problem, Tied().state_dict(), {"a": 1.0}, RECIPE)
    assert result.posterior is not None
    assert set(result.posterior.mean) == set(result.params)
    assert all(torch.equal(result.posterior.mean[name], tensor) for name, tensor in result.params.items())
    assert torch.equal(result.posterior.precision["first.weight"], result.posterior.precision["second.weight"])
    assert not result.posterior.precision["norm.running_mean"].any()


def test_a_diverged_run_names_the_settings_of_ivon(generator: torch.Generator) -> None:
    tasks, start = _tasks(generator)
    recipe = replace(RECIPE, steps=40, ivon=replace(SETTINGS, learning_rate=1e300))
    with pytest.raises(TrainingError, match=r"lower the learning rate \(1e\+300\) or raise ivon\.hess_init"):
        finetune(tasks.problem(), start, ALPHA, recipe)
