"""Newton steps and samples of merges, for every family, against explicit matrices."""

from __future__ import annotations

import pytest
import torch
from tests.cases import CASES, Setting

from paretomerge.errors import PosteriorError
from paretomerge.merging import MergedPrecision, collect_inputs, merge, sample_merged
from paretomerge.posteriors import Diagonal, Isotropic, LendingCorrection
from paretomerge.types import Layout

FAMILIES = (
    "isotropic",
    "diagonal",
    "dense",
    "kronecker",
    "low rank",
    "subspace, layers",
    "product of dense and diagonal",
)
WITH_PRIOR = ("isotropic", "diagonal", "dense", "kronecker", "low rank")


def setting_and_inputs(name: str):
    case = next(case for case in CASES if case.name == name)
    setting = Setting.random({"blocks.0.weight": (2, 3)}, torch.float64, 3, 1)
    given = case.give(setting)
    return setting, given, collect_inputs(given.posteriors, given.prior, given.base)


def gradient_of(given, inputs, weights, at) -> dict:
    """The gradient of `Σ α_t energy_t` (and the prior's), by finite differences that are exact for quadratics."""
    layout = Layout.of(at)
    members = [*inputs.posteriors, *([inputs.prior] if inputs.prior is not None else [])]
    values = [*weights, 1 - sum(weights)]
    theta = layout.flatten(at)
    found = torch.zeros_like(theta)
    for i in range(len(theta)):
        step = torch.zeros_like(theta)
        step[i] = 1.0
        for weight, member in zip(values, members, strict=False):
            if weight:
                up, down = (member.energy(layout.unflatten(theta + sign * step)) for sign in (1, -1))
                found[i] += weight * (up - down) / 2
    return layout.unflatten(found)


@pytest.mark.parametrize("name", [n for n in FAMILIES if "subspace" not in n] + [f"{n} with prior" for n in WITH_PRIOR])
def test_a_newton_step_from_anywhere_lands_at_the_merge(name):
    setting, given, inputs = setting_and_inputs(name)
    weights = [0.5, 0.3, 0.2] if "prior" not in name else [0.4, 0.3, 0.1]
    expected = merge(given.posteriors, weights, prior=given.prior, base=given.base)
    at = {n: setting.base[n] for n in given.posteriors["a"].mean}
    step = MergedPrecision.of(inputs, weights).solve(gradient_of(given, inputs, weights, at))
    for n, start in at.items():
        assert torch.allclose(start - step[n], expected[n], rtol=1e-6, atol=1e-7)


def test_a_newton_step_in_a_subspace_lands_at_the_merge():
    setting, given, inputs = setting_and_inputs("subspace, layers")
    first, weights = inputs.posteriors[0], torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    linear = sum(w * p.precision_mean for w, p in zip(weights, inputs.posteriors, strict=True))
    lent = LendingCorrection.of([posterior.natural().lent for posterior in inputs.posteriors], weights)
    linear = linear + lent.pull
    # any parameter gradient with this part along the directions will do
    basis = torch.stack(
        [
            Layout.of(setting.base).flatten({n: d.get(n, torch.zeros_like(t)) for n, t in setting.base.items()})
            for d in first.basis.directions
        ]
    )
    gradient = Layout.of(setting.base).unflatten(torch.linalg.pinv(basis) @ -linear)
    step = MergedPrecision.of(inputs, [0.5, 0.3, 0.2]).solve(gradient)
    expected = merge(given.posteriors, [0.5, 0.3, 0.2])
    for n in step:
        assert torch.allclose(setting.base[n] - step[n], expected[n], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_have_the_mean_and_the_covariance_of_the_merge(name):
    setting, _, inputs = setting_and_inputs(name)
    weights, count = [0.5, 0.3, 0.2], 1500
    operator = MergedPrecision.of(inputs, weights)
    generator = torch.Generator().manual_seed(0)
    layout = Layout.of(operator.spread(generator))
    draws = torch.stack([layout.flatten(operator.spread(generator)) for _ in range(count)])
    # g ↦ S^-1 g is the covariance: along any direction v, var(vᵀx) = vᵀ S^-1 v
    for seed in range(3):
        direction = layout.unflatten(
            torch.randn(layout.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        )
        full = {n: direction.get(n, torch.zeros_like(t)) for n, t in setting.base.items() if t.is_floating_point()}
        image = operator.solve(full)
        variance = float(sum((full[n] * image[n]).sum() for n in image))
        along = draws @ layout.flatten(direction)
        # a variance estimated from n normal draws is off by √(2/n), the mean by √(variance/n)
        assert float(along.var()) == pytest.approx(variance, rel=5 * (2 / count) ** 0.5)
        assert abs(float(along.mean())) < 5 * (variance / count) ** 0.5


def test_more_examples_spread_less_and_the_mean_is_the_merge():
    posteriors = {"a": Isotropic({"w": torch.zeros(20000)}, 2.0), "b": Isotropic({"w": torch.ones(20000)}, 2.0)}
    drawn = sample_merged(posteriors, [0.25, 0.75], torch.Generator().manual_seed(0), examples=8.0)["w"]
    assert float(drawn.mean()) == pytest.approx(0.75, abs=5 * 0.25 / 20000**0.5)
    assert float(drawn.std()) == pytest.approx(0.25, rel=0.03)
    assert drawn.dtype == torch.float32


def test_tensors_nobody_covers_come_from_the_base():
    base = {"w": torch.zeros(2), "steps": torch.tensor(3), "other": torch.ones(1)}
    drawn = sample_merged({"a": Isotropic({"w": torch.ones(2)})}, {"a": 1.0}, torch.Generator(), base=base)
    assert list(drawn) == list(base)
    assert torch.equal(drawn["other"], base["other"])


@pytest.mark.parametrize("name", ["kronecker with prior", "low rank with prior"])
def test_samples_where_the_prior_counts_negatively_are_refused(name):
    _, _, inputs = setting_and_inputs(name)
    with pytest.raises(PosteriorError, match="sum to more than one"):
        MergedPrecision.of(inputs, [0.5, 0.4, 0.2]).spread(torch.Generator())


def test_singular_precisions_have_no_spread_but_take_steps():
    flat = Diagonal({"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 0.0])})
    operator = MergedPrecision.of(collect_inputs({"a": flat}), {"a": 1.0})
    assert operator.solve({"w": torch.tensor([3.0, 3.0])})["w"].tolist() == [3.0, 0.0]
    with pytest.raises(PosteriorError, match="not positive: add damping"):
        operator.spread(torch.Generator())


def test_one_weighting_at_a_time_and_a_positive_number_of_examples():
    posteriors = {"a": Isotropic({"w": torch.zeros(2)}), "b": Isotropic({"w": torch.ones(2)})}
    with pytest.raises(PosteriorError, match="belongs to one weighting, got 2"):
        MergedPrecision.of(collect_inputs(posteriors), [[0.5, 0.5], [1.0, 0.0]])
    with pytest.raises(PosteriorError, match="must be positive, got 0"):
        sample_merged(posteriors, [0.5, 0.5], torch.Generator(), examples=0)
