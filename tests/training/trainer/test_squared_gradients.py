from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from paretomerge.training.trainer.squared_gradients import GradientProbe, SquaredGradients, StepSizes


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (StepSizes(4), [(4, 1)] * 3),
        (StepSizes(4, 3), [(12, 3)] * 3),
        (StepSizes(4, 2, 4, 16), [(8, 2)] * 3),
        (StepSizes(4, 2, 4, 13), [(8, 2), (5, 2), (8, 2)]),
        (StepSizes(4, 2, 3, 12), [(8, 2), (4, 1), (8, 2)]),
        (StepSizes(4, 2, 3, 10), [(8, 2), (2, 1), (8, 2)]),
        (StepSizes(4, 8, 3, 10), [(10, 3), (10, 3)]),
        (StepSizes(8, 1, 2, 17), [(8, 1), (8, 1), (8, 1)]),  # the loader drops the last one
        (StepSizes(8, 1, 2, 9), [(8, 1), (1, 1), (8, 1)]),
        (StepSizes(4, 2, 3), [(8, 2), (4, 1)]),
    ],
)
def test_the_last_step_of_an_epoch_may_see_fewer(sizes, expected):
    assert [sizes.of_step(step) for step in range(len(expected))] == expected


def some_parameters():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    return module, dict(module.named_parameters())


def backward(module, scale=1.0, seed=1):
    inputs = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    (scale * module(inputs).square().mean()).backward()


def test_the_probe_finds_what_clipping_did():
    module, parameters = some_parameters()
    probe = GradientProbe(parameters)
    backward(module)
    norm = nn.utils.clip_grad_norm_(module.parameters(), 1e-3)
    assert probe.factor() == pytest.approx(1e-3 / (float(norm) + 1e-6), rel=1e-12)
    module.zero_grad()
    backward(module, seed=2)
    assert probe.factor() == 1.0


def test_the_probe_sees_accumulated_gradients_whole():
    module, parameters = some_parameters()
    probe = GradientProbe(parameters)
    backward(module)
    backward(module, seed=2)
    for parameter in module.parameters():
        parameter.grad *= 0.25
    assert probe.factor() == pytest.approx(0.25, rel=1e-14)


def test_the_probe_undoes_the_loss_scale_of_half_precision():
    """Scaled by 2¹⁶, unscaled by the scaler, then clipped; and where nobody unscaled them, the same gradient."""
    module, parameters = some_parameters()
    probe = GradientProbe(parameters)
    optimizer = torch.optim.SGD(module.parameters())
    scaler = torch.amp.GradScaler("cpu")
    backward(module)
    expected = {name: parameter.grad.clone() for name, parameter in parameters.items()}
    for unscale in (True, False):
        module.zero_grad()
        backward(module, scale=float(scaler.scale(torch.ones(()))))
        if unscale:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(module.parameters(), 1e-2)
        divisor = probe.factor() * scaler.get_scale()
        for name, parameter in parameters.items():
            assert torch.allclose(parameter.grad / divisor, expected[name], rtol=1e-12)


def test_the_probe_of_zero_gradients_says_that_it_does_not_know():
    module, parameters = some_parameters()
    probe = GradientProbe(parameters)
    assert math.isnan(probe.factor())
    (0 * module(torch.ones(1, 3, dtype=torch.float64)).sum()).backward()
    assert math.isnan(probe.factor())


def test_the_probe_watches_the_small_parameters_and_leaves_no_hooks(monkeypatch):
    _, parameters = some_parameters()
    monkeypatch.setattr("paretomerge.training.trainer.squared_gradients.PROBE_ELEMENTS", 7)
    probe = GradientProbe(parameters)
    watched = {name for name, parameter in parameters.items() if parameter._post_accumulate_grad_hooks}
    assert watched == {"0.bias", "2.bias"}
    probe.remove()
    assert not any(parameter._post_accumulate_grad_hooks for parameter in parameters.values())
    monkeypatch.setattr("paretomerge.training.trainer.squared_gradients.PROBE_ELEMENTS", 0)
    probe = GradientProbe(parameters)
    assert sum(bool(parameter._post_accumulate_grad_hooks) for parameter in parameters.values()) == 1


def test_squares_are_weighted_by_the_examples_of_their_step():
    module, parameters = some_parameters()
    squares = SquaredGradients(parameters)
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for seed, examples in ((1, 8), (2, 3)):
        module.zero_grad()
        backward(module, seed=seed)
        assert squares.add(examples, divisor=2.0)
        total = {name: value + examples * (parameters[name].grad / 2) ** 2 for name, value in total.items()}
    found = squares.precision(labels=5)
    for name, value in total.items():
        assert found[name].dtype == torch.float32
        assert torch.allclose(found[name].double(), 5 * value / 2, rtol=1e-6)
    assert (squares.steps, squares.examples) == (2, 11)


@pytest.mark.parametrize("bad", ["infinite", "nan divisor", "zero divisor", "no gradients"])
def test_steps_that_overflowed_are_not_counted(bad):
    module, parameters = some_parameters()
    squares = SquaredGradients(parameters)
    if bad != "no gradients":
        backward(module)
    if bad == "infinite":
        parameters["0.bias"].grad[0] = torch.inf
    divisor = {"nan divisor": math.nan, "zero divisor": 0.0}.get(bad, 1.0)
    assert not squares.add(4, divisor)
    assert (squares.steps, squares.examples) == (0, 0)
    assert not any(value.any() for value in squares.precision().values())


def test_half_precision_gradients_are_squared_in_float32():
    """(1e-4)² underflows in float16."""
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float16))
    parameter.grad = torch.tensor([1e-4, 2e-4], dtype=torch.float16)
    squares = SquaredGradients({"w": parameter})
    assert squares.add(10)
    assert torch.allclose(squares.precision()["w"], 10 * parameter.grad.float() ** 2)
