from __future__ import annotations

import contextlib
import copy
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretomerge.errors import RecipeError, TrainingError
from paretomerge.training import Ivon

DOUBLE = torch.float64


def _parameter(*values: float, dtype: torch.dtype = DOUBLE) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=dtype))


def _regression(examples: int = 20, size: int = 4) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    scales = torch.tensor([0.5, 1.0, 2.0, 1.5], dtype=DOUBLE)[:size]
    inputs = torch.randn(examples, size, generator=draw, dtype=DOUBLE) * scales
    return inputs, inputs @ torch.ones(size, dtype=DOUBLE) + torch.randn(examples, generator=draw, dtype=DOUBLE)


def _squared(theta: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (inputs @ theta - targets).square().mean()


class _Network(nn.Module):
    def __init__(self, dtype: torch.dtype = DOUBLE) -> None:
        super().__init__()
        self.body = nn.Linear(4, 3, dtype=dtype)
        self.head = nn.Linear(3, 1, dtype=dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(inputs)))[:, 0]


def _network(dtype: torch.dtype = DOUBLE) -> _Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return _Network(dtype)


def _train(model: nn.Module, optimizer: Ivon, steps: int, first: int = 0, samples: int = 1) -> None:
    """Steps on batches that depend on the step's number only."""
    dtype = next(model.parameters()).dtype
    for step in range(first, first + steps):
        draw = torch.Generator().manual_seed(step)
        inputs = torch.randn(8, 4, generator=draw, dtype=DOUBLE).to(dtype)
        targets = inputs.sum(1).sin()
        for _ in range(samples):
            with optimizer.sampled_params():
                (model(inputs) - targets).square().mean().backward()
        optimizer.step()


def _values(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def _twin(
    start: np.ndarray,
    gradient: Callable[[np.ndarray, int], np.ndarray],
    noises: Iterator[np.ndarray],
    steps: int,
    samples: int,
    settings: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """The algorithm as printed, number by number; `noises` gives standard normal vectors."""
    lr, ess, decay = settings["lr"], settings["ess"], settings["weight_decay"]
    beta1, beta2 = settings["betas"]
    size = len(start)
    prior = [0.0] * size if settings["prior_mean"] == "zero" else list(start)
    m, g, h = list(start), [0.0] * size, [settings["hess_init"]] * size
    if settings["rescale_lr"]:
        lr = lr * (settings["hess_init"] + decay)
    for t in range(1, steps + 1):
        sigma = [1 / math.sqrt(ess * (h[i] + decay)) for i in range(size)]
        g_hat, h_hat = [0.0] * size, [0.0] * size
        for _ in range(samples):
            epsilon = next(noises)
            theta = [m[i] + sigma[i] * epsilon[i] for i in range(size)]
            slope = gradient(np.array(theta), t - 1)
            for i in range(size):
                g_hat[i] += slope[i] / samples
                h_hat[i] += slope[i] * (theta[i] - m[i]) / sigma[i] ** 2 / samples
        for i in range(size):
            g[i] = beta1 * g[i] + (1 - beta1) * g_hat[i]
            h[i] = (
                beta2 * h[i] + (1 - beta2) * h_hat[i] + 0.5 * (1 - beta2) ** 2 * (h[i] - h_hat[i]) ** 2 / (h[i] + decay)
            )
            step = (g[i] / (1 - beta1**t) + decay * (m[i] - prior[i])) / (h[i] + decay)
            if settings["clip_radius"] is not None:
                step = min(max(step, -settings["clip_radius"]), settings["clip_radius"])
            m[i] = m[i] - lr * step
    return np.array(m), np.array(h)


@pytest.mark.parametrize("prior", ["start", "zero"])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("clip", "rescale"), [(None, True), (0.05, False)])
def test_it_agrees_with_the_printed_algorithm(prior: Any, samples: int, clip: float | None, rescale: bool) -> None:
    settings = {
        "lr": 0.3, "ess": 50.0, "hess_init": 0.7, "betas": (0.8, 0.9), "weight_decay": 0.05,
        "prior_mean": prior, "clip_radius": clip, "rescale_lr": rescale,
    }  # fmt: skip
    inputs, targets = (part.numpy() for part in _regression())
    start = np.array([0.3, -0.2, 0.9, 0.1])

    def gradient(theta: np.ndarray, step: int) -> np.ndarray:
        rows = slice(step % 5 * 4, step % 5 * 4 + 4)
        return inputs[rows].T @ (np.tanh(inputs[rows] @ theta) - targets[rows]) / 4

    theta = _parameter(*start)
    optimizer = Ivon([theta], **settings)
    draw, twins = torch.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    for step in range(20):
        for _ in range(samples):
            with optimizer.sampled_params(draw):
                theta.grad = torch.tensor(gradient(theta.detach().numpy().copy(), step))
        optimizer.step()
    noises = (torch.randn(4, generator=twins, dtype=DOUBLE).numpy() for _ in itertools.count())
    mean, hessian = _twin(start, gradient, noises, 20, samples, settings)
    np.testing.assert_allclose(theta.detach().numpy(), mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(optimizer.state[theta]["hessian"].numpy(), hessian, rtol=1e-12, atol=1e-14)
    assert np.abs(mean - start).min() > 1e-3


def _chains(
    loss: Callable[[Tensor], Tensor],
    start: Tensor,
    steps: int,
    warm: int,
    *,
    final_rate: float = 1.0,
    replicas: int = 400,
    **settings: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Independent runs `[R, P]` side by side: averages over the steps after `warm` of m, h and 1/(ess (h+δ))."""
    theta = nn.Parameter(start.expand(replicas, -1).clone())
    optimizer = Ivon([theta], **settings)
    totals = [torch.zeros_like(theta) for _ in range(3)]
    for step in range(steps):
        with optimizer.sampled_params():
            loss(theta).sum().backward()
        optimizer.step()
        if step >= warm:
            hessian = optimizer.state[theta]["hessian"]
            variance = 1 / (settings["ess"] * (hessian + settings["weight_decay"]))
            for total, value in zip(totals, (theta.detach(), hessian, variance), strict=True):
                total.add_(value / (steps - warm))
    return totals[0], totals[1], totals[2]


def _require_mean(found: Tensor, expected: Tensor, bias: Tensor | float = 0.0) -> None:
    """The mean over replicas is `expected`, within four standard errors computed from their spread, and `bias`."""
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - expected).abs() < 4 * error + bias).all(), (found.mean(0), expected, error)
    # Runs that all say the same would make any agreement worthless, and too much spread as well.
    assert (error > 0).all()
    assert (error < 0.05 * expected.abs() + 0.01).all()


@pytest.mark.parametrize("prior", ["start", "zero"])
def test_on_a_quadratic_it_finds_the_mean_hessian_and_the_ridge_solution_centred_at_the_prior(prior: Any) -> None:
    inputs, targets = _regression()
    examples, decay, beta2 = len(inputs), 0.3, 0.99
    hessian = inputs.T @ inputs / examples
    start = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=DOUBLE)
    centre = start if prior == "start" else torch.zeros_like(start)
    ridge = torch.linalg.solve(
        hessian + decay * torch.eye(4, dtype=DOUBLE), inputs.T @ targets / examples + decay * centre
    )

    def loss(theta: Tensor) -> Tensor:
        return 0.5 * (theta @ inputs.T - targets).square().mean(-1)

    settings = {"ess": float(examples), "hess_init": 1.0, "betas": (0.9, beta2), "weight_decay": decay}
    mean, curvature, _ = _chains(loss, start, 1500, 900, lr=0.2, rescale_lr=False, prior_mean=prior, **settings)
    _require_mean(mean, ridge)
    # The mean of ĥ is H_ii. In equilibrium the correction term adds ½(1-β2) Var(ĥ)/(h+δ), where, with the gradient
    # g = -δ(m-m0) that the prior balances, Var(ĥ_i) = 2H_ii² + Σ_{j≠i} H_ij² σ_j²/σ_i² + g_i²/σ_i². A quarter of it
    # is allowed for what the movements of m and h add.
    exact = hessian.diagonal()
    variance = 1 / (examples * (exact + decay))
    spread = exact**2 + ((hessian**2) @ variance + (decay * (ridge - centre)) ** 2) / variance
    correction = 0.5 * (1 - beta2) * spread / (exact + decay)
    _require_mean(curvature, exact + correction, bias=0.25 * correction)
    assert (correction < 0.1 * exact).all()


def test_the_two_priors_differ_by_the_pull_on_the_start() -> None:
    inputs, targets = _regression()
    decay = 0.3
    start = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=DOUBLE)
    found = {}
    for prior in ("start", "zero"):
        theta = nn.Parameter(start.clone())
        optimizer = Ivon([theta], 0.1, ess=100.0, weight_decay=decay, prior_mean=prior)
        for _ in range(800):
            # Gradients of the mean instead of the sample: noise moves the curvature only, so m stops where it should.
            slope = inputs.T @ (inputs @ theta.detach() - targets) / len(inputs)
            with optimizer.sampled_params():
                theta.grad = slope
            optimizer.step()
        found[prior] = theta.detach()
    damped = inputs.T @ inputs / len(inputs) + decay * torch.eye(4, dtype=DOUBLE)
    torch.testing.assert_close(
        found["start"] - found["zero"], torch.linalg.solve(damped, decay * start), rtol=1e-8, atol=1e-9
    )


def test_on_logistic_regression_it_finds_the_best_diagonal_gaussian() -> None:
    """Held against a direct minimisation of the negative evidence bound, its expectations by quadrature."""
    draw = torch.Generator().manual_seed(4)
    inputs = torch.randn(40, 3, generator=draw, dtype=DOUBLE) * torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)
    signs = torch.sign(inputs @ torch.tensor([1.0, -1.0, 0.5], dtype=DOUBLE) + torch.randn(40, generator=draw))
    margins, examples, decay, beta2 = inputs * signs[:, None], 40, 0.1, 0.99
    start = torch.tensor([0.5, 0.5, 0.5], dtype=DOUBLE)

    def loss(theta: Tensor) -> Tensor:
        return nn.functional.softplus(-theta @ margins.T).mean(-1)

    nodes, masses = (torch.tensor(part) for part in np.polynomial.hermite_e.hermegauss(60))
    mean, logs = start.clone().requires_grad_(), torch.full((3,), -2.0, dtype=DOUBLE, requires_grad=True)
    direct = torch.optim.LBFGS(
        [mean, logs], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def bound() -> Tensor:
        direct.zero_grad()
        # A logit is Gaussian under q: one dimension, however many parameters.
        centre, deviation = margins @ mean, ((margins**2) @ (2 * logs).exp()).sqrt()
        values = nn.functional.softplus(-(centre[:, None] + deviation[:, None] * nodes))
        expected = (values * masses).sum(1).mean() / math.sqrt(2 * math.pi)
        pull = 0.5 * decay * ((mean - start).square() + (2 * logs).exp()).sum()
        total = expected + pull - logs.sum() / examples
        total.backward()
        return total

    direct.step(bound)
    assert max(float(mean.grad.abs().max()), float(logs.grad.abs().max())) < 1e-8
    variance = (2 * logs.detach()).exp()
    settings = {"ess": float(examples), "hess_init": 0.2, "betas": (0.9, beta2), "weight_decay": decay}
    found, _, spread = _chains(loss, start, 1500, 900, lr=0.05, rescale_lr=False, **settings)
    _require_mean(found, mean.detach(), bias=0.002 * variance.sqrt())
    # The correction term enlarges h by ½(1-β2) v relatively, v = Var(ĥ)/(h+δ)²; its fluctuation, of relative variance
    # ½(1-β2) v, enlarges the mean of 1/(h+δ) by as much: to first order they cancel.
    _require_mean(spread, variance, bias=0.005 * variance)


def test_a_resumed_run_is_the_uninterrupted_one() -> None:
    settings: dict[str, Any] = {"lr": 0.1, "ess": 100.0, "hess_init": 0.5, "betas": (0.9, 0.99)}
    model = _network()
    optimizer = Ivon(model.parameters(), **settings)
    _train(model, optimizer, 5)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    _train(model, optimizer, 5, first=5)
    other = _network()
    other.load_state_dict(saved[0])
    resumed = Ivon(other.parameters(), lr=9.0, ess=1.0, seed=77)
    resumed.load_state_dict(saved[1])
    _train(other, resumed, 5, first=5)
    assert all(torch.equal(value, _values(model)[name]) for name, value in _values(other).items())
    for mine, its in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(optimizer.state[mine]["hessian"], resumed.state[its]["hessian"])
        # The prior stays at the base, though the resumed optimizer first saw other parameters.
        assert torch.equal(optimizer.state[mine]["prior_mean"], resumed.state[its]["prior_mean"])


def test_state_survives_a_file_that_holds_tensors_only(tmp_path: Any) -> None:
    model = _network(torch.bfloat16)
    optimizer = Ivon(model.named_parameters(), 0.1, ess=100.0)
    _train(model, optimizer, 3)
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    other = Ivon(_network(torch.bfloat16).named_parameters(), 0.1, ess=100.0)
    other.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for mine, its in zip(model.parameters(), other.param_groups[0]["params"], strict=True):
        for key in ("momentum", "hessian", "mean", "prior_mean"):
            assert other.state[its][key].dtype == torch.float32
            assert torch.equal(optimizer.state[mine][key], other.state[its][key])


def test_parameters_in_bfloat16_keep_what_rounding_would_lose() -> None:
    model, exact = _network(torch.bfloat16), _network(torch.bfloat16).float()
    coarse, fine = (Ivon(net.parameters(), 1e-4, ess=1e4, hess_init=1.0) for net in (model, exact))
    for optimizer in (coarse, fine):
        for step in range(20):
            draw = torch.Generator().manual_seed(step)
            with optimizer.sampled_params():
                for parameter in optimizer.param_groups[0]["params"]:
                    parameter.grad = (1 + torch.rand(parameter.shape, generator=draw)).to(parameter.dtype)
            optimizer.step()
    for rounded, parameter in zip(model.parameters(), exact.parameters(), strict=True):
        kept = coarse.state[rounded]["mean"]
        moved = parameter - fine.state[parameter]["prior_mean"]
        # Gradients are rounded to 8 bits; a mean kept in bfloat16 would not have moved at all.
        torch.testing.assert_close(kept - coarse.state[rounded]["prior_mean"], moved.detach(), rtol=1e-2, atol=1e-5)
        assert torch.equal(rounded.detach(), kept.to(torch.bfloat16))


def test_outside_the_context_the_parameters_are_the_mean_bit_by_bit() -> None:
    model = _network()
    optimizer = Ivon(model.parameters(), 0.1, ess=10.0)
    before = _values(model)
    with contextlib.suppress(KeyError), optimizer.sampled_params():
        assert not any(torch.equal(value, before[name]) for name, value in _values(model).items())
        model(torch.ones(1, 4, dtype=DOUBLE)).sum().backward()
        raise KeyError("stop")
    assert all(torch.equal(value, before[name]) for name, value in _values(model).items())
    with pytest.raises(TrainingError, match="no sampled gradients"):
        optimizer.step()


def test_the_noise_has_the_stated_standard_deviation() -> None:
    theta = nn.Parameter(torch.zeros(40000, dtype=DOUBLE))
    optimizer = Ivon([theta], 0.1, ess=25.0, hess_init=0.7, weight_decay=0.3)
    with optimizer.sampled_params():
        drawn = theta.detach().clone()
    # σ = 1/√(25 · 1) = 0.2; the relative error of a standard deviation is 1/√(2n).
    assert float(drawn.std()) == pytest.approx(0.2, rel=4 / math.sqrt(2 * 40000))
    assert abs(float(drawn.mean())) < 4 * 0.2 / math.sqrt(40000)


def test_every_draw_is_new_and_seeds_differ() -> None:
    theta, other, third = (_parameter(0.0, 0.0) for _ in range(3))
    draws = []
    for parameter, seed in ((theta, 1), (other, 1), (third, 2)):
        optimizer = Ivon([parameter], 0.1, ess=10.0, seed=seed)
        for _ in range(2):
            with optimizer.sampled_params():
                draws.append(tuple(parameter.tolist()))
    assert draws[:2] == draws[2:4]
    assert len(set(draws)) == 4


def test_groups_have_settings_and_noise_of_their_own() -> None:
    model = _network()
    together = Ivon(
        [
            {"params": model.body.parameters(), "lr": 0.2, "weight_decay": 0.5, "hess_init": 2.0},
            {"params": model.head.parameters(), "lr": 0.0},
        ],
        0.1,
        ess=1e3,
    )
    before = _values(model)
    _train(model, together, 1)
    after = _values(model)
    assert all(torch.equal(before[name], after[name]) for name in ("head.weight", "head.bias"))
    assert not torch.equal(before["body.weight"], after["body.weight"])
    # One step of β2 = 0.99999 hardly moves the curvature.
    assert float(together.state[model.body.weight]["hessian"].mean()) == pytest.approx(2.0, rel=1e-2)
    assert float(together.state[model.head.weight]["hessian"].mean()) == pytest.approx(1.0, rel=1e-2)


def test_rescaled_rates_make_the_first_step_one_of_gradient_descent() -> None:
    theta = _parameter(1.0, 2.0)
    optimizer = Ivon([theta], 0.1, ess=1.0, hess_init=5.0, betas=(0.9, 1 - 1e-12))
    with optimizer.sampled_params():
        theta.grad = torch.tensor([3.0, -4.0], dtype=DOUBLE)
    optimizer.step()
    torch.testing.assert_close(theta.detach(), torch.tensor([0.7, 2.4], dtype=DOUBLE), rtol=1e-8, atol=1e-8)


def test_frozen_and_unused_parameters_stay_and_have_no_curvature() -> None:
    model = _network()
    model.body.bias.requires_grad_(False)
    model.spare = nn.Parameter(torch.ones(2, dtype=DOUBLE))
    optimizer = Ivon(model.parameters(), 0.1, ess=100.0)
    before = _values(model)
    _train(model, optimizer, 3)
    posterior = optimizer.posterior(model.named_parameters())
    for name in ("body.bias", "spare"):
        assert torch.equal(_values(model)[name], before[name])
        assert not posterior.precision[name].any()
    assert (posterior.precision["body.weight"] > 0).all()


def test_the_posterior_is_the_mean_and_the_bare_curvature() -> None:
    model = _network()
    optimizer = Ivon(model.parameters(), 0.1, ess=100.0, hess_init=0.5, betas=(0.9, 0.5), weight_decay=3.0)
    _train(model, optimizer, 5)
    with torch.no_grad():
        optimizer.state[model.head.bias]["hessian"].fill_(-0.25)
    posterior = optimizer.posterior(model.named_parameters())
    assert torch.equal(posterior.mean["head.weight"], model.head.weight)
    expected = optimizer.state[model.head.weight]["hessian"].clamp(min=0)
    assert torch.equal(posterior.precision["head.weight"], expected)
    # Curvature may be negative down to -δ, a precision may not.
    assert not posterior.precision["head.bias"].any()
    _train(model, optimizer, 1, first=5)
    assert not torch.equal(posterior.mean["head.weight"], model.head.weight)


def test_curvature_that_is_mostly_the_first_guess_is_warned_about() -> None:
    model = _network()
    optimizer = Ivon(model.parameters(), 0.1, ess=100.0)
    _train(model, optimizer, 5)
    with pytest.warns(UserWarning, match=r"100% of IVON's curvature is still hess_init after 5 steps: .* here 0\.2"):
        optimizer.posterior(model.named_parameters())
    model = _network()
    forgetful = Ivon(model.parameters(), 0.1, ess=100.0, betas=(0.9, 0.2))
    _train(model, forgetful, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forgetful.posterior(model.named_parameters())


def test_parameters_that_were_never_trained_have_no_posterior() -> None:
    model = _network()
    optimizer = Ivon(model.parameters(), 0.1, ess=100.0)
    with pytest.raises(TrainingError, match="IVON took no step on any of these parameters"):
        optimizer.posterior(model.named_parameters())
    _train(model, optimizer, 1)
    with pytest.raises(TrainingError, match="give the parameters of the model that this optimizer trained"):
        optimizer.posterior(_network().named_parameters())


def test_a_posterior_covers_buffers_and_integers_of_a_state_dict() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    optimizer = Ivon(model.parameters(), 0.1, ess=100.0)
    with optimizer.sampled_params():
        model(torch.randn(8, 4, generator=torch.Generator().manual_seed(0))).square().sum().backward()
    optimizer.step()
    posterior = optimizer.posterior(model.state_dict(keep_vars=True).items())
    assert set(posterior.mean) == set(model.state_dict())
    assert not posterior.precision["1.running_mean"].any()
    assert int(posterior.mean["1.num_batches_tracked"]) == 1


def test_the_prior_may_be_given_by_name() -> None:
    model, base = _network(), {name: value + 1 for name, value in _values(_network()).items()}
    optimizer = Ivon(model.named_parameters(), 0.1, ess=100.0, prior_mean=base)
    _train(model, optimizer, 1)
    assert torch.equal(optimizer.state[model.head.weight]["prior_mean"], base["head.weight"])
    for given, parameters, message in (
        (base, model.parameters(), "needs named parameters"),
        ({}, model.named_parameters(), "lacks 'body.weight'"),
        ({**base, "body.bias": torch.zeros(7)}, model.named_parameters(), r"'body.bias' has shape \[7\], not \[3\]"),
    ):
        broken = Ivon(parameters, 0.1, ess=100.0, prior_mean=given)
        with pytest.raises(RecipeError, match=message), broken.sampled_params():
            pass


def test_schedulers_set_the_rate() -> None:
    theta = _parameter(1.0)
    optimizer = Ivon([theta], 0.4, ess=10.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for _ in range(2):
        with optimizer.sampled_params():
            theta.square().sum().backward()
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_a_closure_runs_at_sampled_parameters() -> None:
    theta, other = _parameter(1.0, 2.0), _parameter(1.0, 2.0)
    optimizer, by_hand = (Ivon([parameter], 0.1, ess=10.0) for parameter in (theta, other))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = theta.square().sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    with by_hand.sampled_params():
        expected = other.square().sum()
        expected.backward()
    by_hand.step()
    assert torch.equal(loss, expected)
    assert torch.equal(theta, other)


def test_shares_add_up_where_samples_are_averaged() -> None:
    """Two halves of a batch, each loss divided by two already, as in gradient accumulation."""
    found = []
    for share, factor in ((None, 1.0), (1.0, 0.5)):
        theta = _parameter(1.0, 2.0)
        optimizer = Ivon([theta], 0.1, ess=10.0)
        for part in (1.0, 3.0):
            with optimizer.sampled_params(share=share):
                (factor * part * theta.square().sum()).backward()
        optimizer.step()
        found.append((theta.detach(), optimizer.state[theta]["hessian"]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=0)


def test_predicting_with_samples_leaves_nothing_for_the_step() -> None:
    model = _network()
    optimizer = Ivon(model.parameters(), 0.1, ess=10.0)
    with torch.no_grad(), optimizer.sampled_params():
        model(torch.ones(1, 4, dtype=DOUBLE))
    with pytest.raises(TrainingError, match="no sampled gradients"):
        optimizer.step()


def test_gradients_from_elsewhere_are_refused() -> None:
    theta = _parameter(1.0)
    optimizer = Ivon([theta], 0.1, ess=10.0)
    with optimizer.sampled_params():
        loss = theta.sum()
    loss.backward()
    for attempt in (optimizer.step, optimizer.sampled_params().__enter__):
        with pytest.raises(TrainingError, match="not taken inside `sampled_params`"):
            attempt()
    optimizer.zero_grad()
    with optimizer.sampled_params():
        theta.sum().backward()
    optimizer.step()


def test_calls_in_the_wrong_place_are_refused() -> None:
    theta = _parameter(1.0)
    optimizer = Ivon([theta], 0.1, ess=10.0)
    with optimizer.sampled_params():
        theta.sum().backward()
        for attempt, message in (
            (optimizer.sampled_params().__enter__, "sampled already"),
            (optimizer.step, "inside `sampled_params`"),
            (optimizer.state_dict, "between steps"),
            (lambda: optimizer.posterior([("theta", theta)]), "no mean"),
        ):
            with pytest.raises(TrainingError, match=message):
                attempt()
    with pytest.raises(TrainingError, match="between steps"):
        optimizer.state_dict()
    with pytest.raises(TrainingError, match="have a share, or none"):
        optimizer.sampled_params(share=1.0).__enter__()
    optimizer.step()
    assert optimizer.state_dict()["state"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_gradients_say_the_likely_cause_and_change_nothing(bad: float) -> None:
    model = _network()
    optimizer = Ivon(model.parameters(), 0.1, ess=25.0, hess_init=1.0, weight_decay=0.0)
    before = _values(model)
    with optimizer.sampled_params():
        model(torch.ones(1, 4, dtype=DOUBLE)).sum().backward()
        model.head.weight.grad[0, 1] = bad
    with pytest.raises(TrainingError, match=r"1 of 4 .*NaN or infinite.*deviation is up to 0\.2: raise hess_init"):
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in _values(model).items())
    _train(model, optimizer, 1)


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(3, 2, sparse=True)
    optimizer = Ivon(table.parameters(), 0.1, ess=10.0)
    with pytest.raises(TrainingError, match="sparse=False"), optimizer.sampled_params():
        table(torch.tensor([1])).sum().backward()


def test_curvature_stays_above_minus_the_decay_whatever_the_noise() -> None:
    theta = nn.Parameter(torch.zeros(1000, dtype=DOUBLE))
    optimizer = Ivon([theta], 0.0, ess=100.0, hess_init=0.1, betas=(0.9, 0.0), weight_decay=0.1)
    for step in range(20):
        with optimizer.sampled_params():
            theta.grad = 0.05 * torch.randn(1000, generator=torch.Generator().manual_seed(step), dtype=DOUBLE)
        optimizer.step()
        assert (optimizer.state[theta]["hessian"] > -0.1).all()
    assert (optimizer.state[theta]["hessian"] < 0).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ess": 0.0}, "ess, the effective sample size, must be positive, got 0.0: give the number of training"),
        ({"ess": -5.0}, "got -5.0"),
        ({"ess": math.nan}, "got nan"),
        ({"lr": -1.0}, "learning rate must be at least 0, got -1.0"),
        ({"hess_init": 0.0}, "hess_init must be positive, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"betas": (0.9, 1.0)}, "betas must be at least 0 and less than 1"),
        ({"clip_radius": 0.0}, "clip_radius must be positive"),
        ({"prior_mean": "base"}, "prior_mean='base' is unknown"),
    ],
)
def test_settings_outside_their_domain_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Ivon([_parameter(1.0)], **{"lr": 0.1, "ess": 10.0, **settings})


def test_groups_are_checked_too() -> None:
    with pytest.raises(RecipeError, match="got -2"):
        Ivon([{"params": [_parameter(1.0)], "ess": -2.0}], 0.1, ess=10.0)
    with pytest.raises(RecipeError, match=r"real floating-point parameters, got torch\.complex64"):
        Ivon([nn.Parameter(torch.zeros(1, dtype=torch.complex64))], 0.1, ess=10.0)
