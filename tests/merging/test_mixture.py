from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from tests.gaussians import FAMILIES, Gaussian, draw_gaussian
from torch import Tensor

from paretomerge.errors import PosteriorError, RecipeError
from paretomerge.merging import (
    GroupResponsibilities,
    MixtureMerge,
    PosteriorMerge,
    collect_inputs,
    merge,
    merge_blocks,
    mixture_components,
    mixture_responsibilities,
)
from paretomerge.merging import mixture as mixture_module
from paretomerge.posteriors import Dense, Diagonal, Isotropic, Mixture, Posterior, soup
from paretomerge.recipes import method
from paretomerge.types import PatternWeights

PLAIN = MixtureMerge("model", 1.0)


@dataclass(frozen=True, eq=False)
class Problem:
    """Random mixtures of one family, and their objective written down once more, for autograd and for scipy."""

    runs: tuple[tuple[Gaussian, ...], ...]
    logs: tuple[tuple[float, ...], ...]
    prior: Gaussian | None = None

    @classmethod
    def random(
        cls,
        family: str,
        seed: int,
        counts: Sequence[int] = (2, 3),
        prior: bool = False,
        spread: float = 1.0,
        sharpness: float = 1.0,
    ) -> Problem:
        generator = torch.Generator().manual_seed(seed)
        runs = tuple(
            tuple(draw_gaussian(family, generator, spread, sharpness) for _ in range(count)) for count in counts
        )
        logs = tuple(
            tuple(torch.randn(count, generator=generator).double().log_softmax(0).tolist()) for count in counts
        )
        return cls(runs, logs, draw_gaussian(family, generator, spread) if prior else None)

    @property
    def posteriors(self) -> dict[str, Posterior]:
        pairs = zip(self.runs, self.logs, strict=True)
        return {f"t{n}": Mixture([run.posterior for run in runs], logs) for n, (runs, logs) in enumerate(pairs)}

    def merge(self, weights: object, rule: MixtureMerge) -> dict[str, Tensor]:
        return merge(self.posteriors, weights, prior=self.prior and self.prior.posterior, rule=rule)

    def explain(self, weights: object, rule: MixtureMerge) -> GroupResponsibilities:
        prior = self.prior and self.prior.posterior
        [found] = mixture_responsibilities(self.posteriors, weights, prior, rule).values()
        return found

    def point(self, params: dict[str, Tensor]) -> Tensor:
        return self.runs[0][0].coordinates(params)

    def objective(self, point: Tensor, alpha: Sequence[float], temperatures: Sequence[float]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for runs, logs, weight, temperature in zip(self.runs, self.logs, alpha, temperatures, strict=True):
            terms = [(log + run.log_density(point)) / temperature for run, log in zip(runs, logs, strict=True)]
            total = total + weight * temperature * torch.logsumexp(torch.stack(terms), 0)
        if self.prior is not None:
            total = total + (1 - sum(alpha)) * self.prior.log_density(point)
        return total


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor], tolerance: float) -> None:
    assert list(one) == list(other)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("copies", [1, 2])
def test_one_component_or_several_equal_ones_are_the_gaussian_merge(family: str, copies: int):
    """With a prior and without, to 1e-12: two equal components go through all of expectation-maximisation."""
    problem = Problem.random(family, 4, (1, 1), prior=True)
    [a], [b] = problem.runs
    gaussian = {"a": a.posterior, "b": b.posterior}
    mixtures = {task: Mixture([posterior] * copies) for task, posterior in gaussian.items()}
    prior = problem.prior.posterior
    for weights, before in (([0.3, 0.7], None), ([0.3, 0.7], prior), ([0.3, 0.4], prior)):
        for rule in (MixtureMerge(), MixtureMerge("model", 1.0), MixtureMerge("layer", 3.0)):
            assert_same(
                merge(mixtures, weights, prior=before, rule=rule),
                merge(gaussian, weights, prior=before, rule=PosteriorMerge()),
                1e-12,
            )


def test_ridges_that_know_the_weights_count_for_single_runs_and_are_plain_among_several():
    """A task's own ridge is lent by its weight; runs of one task would lend it twice, and no step could be exact."""
    problem = Problem.random("subspace", 2, (2, 2))
    own = torch.tensor([1.0, 0.0, 0.0]).double(), torch.tensor([0.0, 1.0, 1.0]).double()
    lending, plain = (
        tuple(
            tuple(
                replace(run, posterior=run.posterior.with_ridge(2.0, torch.ones(3).double(), mine if lent else None))
                for run in runs
            )
            for runs, mine in zip(problem.runs, own, strict=True)
        )
        for lent in (True, False)
    )
    first = {f"t{n}": runs[0].posterior for n, runs in enumerate(lending)}
    alone = {task: Mixture([posterior]) for task, posterior in first.items()}
    assert_same(merge(alone, [0.2, 0.8], rule=PLAIN), merge(first, [0.2, 0.8]), 1e-12)
    with_lending, without = replace(problem, runs=lending), replace(problem, runs=plain)
    assert_same(with_lending.merge([0.2, 0.8], PLAIN), without.merge([0.2, 0.8], PLAIN), 1e-12)
    control = MixtureMerge(responsibilities="equal")
    assert_same(with_lending.merge([0.2, 0.8], control), merge(*soup(with_lending.posteriors, [0.2, 0.8])), 1e-12)
    beside = merge({**with_lending.posteriors, "t1": first["t1"]}, [0.2, 0.8], rule=PLAIN)
    assert_same(beside, merge({**without.posteriors, "t1": plain[1][0].posterior}, [0.2, 0.8], rule=PLAIN), 1e-12)


def test_plain_gaussians_and_checkpoints_are_merged_as_ever():
    tunes = {"a": {"w": torch.tensor([1.0])}, "b": {"w": torch.tensor([3.0])}}
    assert merge(tunes, [0.25, 0.75], rule=MixtureMerge())["w"].tolist() == [2.5]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("prior", [False, True])
def test_in_one_dimension_the_best_of_all_points_is_found(seed: int, prior: bool):
    """Two tasks of two well-separated runs, untempered, against a fine grid of the same objective."""
    rng = np.random.default_rng(seed)
    means, sharp = rng.uniform(-10, 10, (2, 2)), rng.uniform(1, 9, (2, 2))
    tasks = {
        f"t{t}": Mixture(
            [Diagonal({"w": double(m)}, {"w": double(h)}) for m, h in zip(*both, strict=True)], [0.5, -0.5]
        )
        for t, both in enumerate(zip(means, sharp, strict=True))
    }
    given, alpha = (None, [0.45, 0.55])
    if prior:
        given, alpha = Diagonal({"w": double(0.0)}, {"w": double(0.5)}), [0.3, 0.4]
    found = float(merge(tasks, alpha, prior=given, rule=MixtureMerge(tempering=1.0))["w"])

    def objective(points: np.ndarray) -> np.ndarray:
        total = (0.3 * -0.25 * points**2) if prior else 0.0 * points
        for weight, m, h in zip(alpha, means, sharp, strict=True):
            logs = 0.5 * np.log(h) - 0.5 * h * (points[:, None] - m) ** 2 + [0.5, -0.5]
            total = total + weight * np.logaddexp(logs[:, 0], logs[:, 1])
        return total

    grid = np.linspace(-11, 11, 220_001)
    values = objective(grid)
    best = grid[values.argmax()]
    assert objective(np.array([found]))[0] >= values.max() - 1e-12
    assert found == pytest.approx(best, abs=1e-4)


def double(number: float) -> Tensor:
    return torch.tensor([number], dtype=torch.float64)


@pytest.mark.parametrize("seed", range(6))
def test_in_two_dimensions_the_best_of_all_points_is_found(seed: int):
    """Full precisions, three runs and two, against a grid of 90 000 points and a descent from the best of them."""
    rng = np.random.default_rng(seed)
    means, roots = 4 * rng.standard_normal((5, 2)), rng.standard_normal((5, 2, 3))
    sharp = roots @ roots.transpose(0, 2, 1) + 0.3 * np.eye(2)

    def objective(points: np.ndarray) -> np.ndarray:
        away = points[:, None] - means
        logs = 0.5 * np.linalg.slogdet(sharp)[1] - 0.5 * np.einsum("nki,kij,nkj->nk", away, sharp, away)
        tasks = logs[:, :3] - math.log(3), logs[:, 3:] - math.log(2)
        return sum(w * np.logaddexp.reduce(part, axis=1) for w, part in zip((0.4, 0.6), tasks, strict=True))

    components = [Dense({"w": torch.tensor(m)}, torch.tensor(h)) for m, h in zip(means, sharp, strict=True)]
    tasks = {"a": Mixture(components[:3]), "b": Mixture(components[3:])}
    found = merge(tasks, [0.4, 0.6], rule=PLAIN)["w"].numpy()
    axis = np.linspace(-12, 12, 300)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    start = grid[objective(grid).argmax()]
    best = minimize(lambda point: -objective(point[None])[0], start, tol=1e-14)
    assert objective(found[None])[0] >= -best.fun - 1e-9
    np.testing.assert_allclose(found, best.x, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    tempering=st.sampled_from(["auto", 0.5, 1.0, 20.0]),
    prior=st.booleans(),
    spread=st.sampled_from([0.3, 1.0, 30.0]),
    sharpness=st.sampled_from([1e-2, 1.0, 1e4]),
)
def test_every_step_raises_the_objective(
    family: str, seed: int, tempering: float | str, prior: bool, spread: float, sharpness: float
):
    """And what is reported is the objective at the merge, as PyTorch's normal distributions have it."""
    problem = Problem.random(family, seed, (2, 3), prior, spread, sharpness)
    alpha = [0.3, 0.5] if prior else [0.35, 0.65]
    reached = []
    for steps in range(1, 6):
        rule = MixtureMerge("model", tempering, starts=1, max_steps=steps)
        found = problem.explain(alpha, rule)
        reached.append(float(found.objective))
    scale = 1 + sharpness * spread**2
    assert all(after >= before - 1e-9 * scale for before, after in pairwise(reached)), reached
    point = problem.point(problem.merge(alpha, rule))
    expected = float(problem.objective(point, alpha, found.temperatures.tolist()))
    assert reached[-1] == pytest.approx(expected, rel=1e-7, abs=1e-7 * scale)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tempering", ["auto", 1.0])
@pytest.mark.parametrize("prior", [False, True])
def test_the_gradient_of_the_objective_vanishes_at_the_merge(family: str, tempering: str | float, prior: bool):
    problem = Problem.random(family, 11, (2, 3), prior, spread=2.0)
    alpha = [0.3, 0.5] if prior else [0.35, 0.65]
    rule = MixtureMerge("model", tempering, starts=2, max_steps=2000, tolerance=1e-10)
    found = problem.explain(alpha, rule)
    assert bool(found.converged)
    point = problem.point(problem.merge(alpha, rule)).requires_grad_()
    problem.objective(point, alpha, found.temperatures.tolist()).backward()
    away = (point.detach() + 0.1).requires_grad_()
    problem.objective(away, alpha, found.temperatures.tolist()).backward()
    assert float(point.grad.norm()) < 1e-7 * float(away.grad.norm())


@pytest.mark.parametrize("family", FAMILIES)
def test_without_end_tempering_is_the_soup(family: str):
    """`τ = inf`, equal responsibilities, and `soup` with the ordinary merge are the same; a large `τ` nearly."""
    problem = Problem.random(family, 3, (2, 3))
    control = merge(*soup(problem.posteriors, [0.4, 0.6]))
    assert_same(problem.merge([0.4, 0.6], MixtureMerge(responsibilities="equal")), control, 1e-12)
    assert_same(problem.merge([0.4, 0.6], MixtureMerge(tempering=math.inf)), control, 1e-12)
    assert_same(problem.merge([0.4, 0.6], MixtureMerge("model", 1e12)), control, 1e-9)
    sharp = problem.merge([0.4, 0.6], PLAIN)
    assert any(not torch.allclose(sharp[name], control[name], atol=1e-2) for name in sharp)


def test_untempered_responsibilities_are_those_of_bayes():
    """`τ = 1`: `r_tk` is the posterior probability of component k at the merge."""
    problem = Problem.random("diagonal", 8, (3, 2), spread=0.4)
    rule = MixtureMerge("model", 1.0, tolerance=1e-12, max_steps=5000)
    found, point = problem.explain([0.5, 0.5], rule), problem.point(problem.merge([0.5, 0.5], rule))
    logs = torch.stack(
        [log + run.log_density(point) for run, log in zip(problem.runs[0], problem.logs[0], strict=True)]
    )
    torch.testing.assert_close(found.of("t0")[0], torch.softmax(logs, 0), rtol=0, atol=1e-9)
    assert float(found.of("t0").amax()) < 0.999


def large(size: int, scale: float) -> dict[str, Mixture]:
    """Three runs for each of two tasks, as far apart as `scale` times their posteriors say."""
    generator = torch.Generator().manual_seed(1)

    def run(centre: Tensor) -> Diagonal:
        precision = torch.randn(size, generator=generator, dtype=torch.float64).exp()
        noise = torch.randn(size, generator=generator, dtype=torch.float64)
        return Diagonal({"w": centre + noise / precision.sqrt()}, {"w": scale * precision})

    centres = torch.randn(2, size, generator=generator, dtype=torch.float64)
    return {f"t{n}": Mixture([run(centre) for _ in range(3)]) for n, centre in enumerate(centres)}


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_untempered_responsibilities_collapse_with_many_parameters_and_tempered_ones_do_not(scale: float):
    """At τ = 1 one run of each task is left from some hundred parameters on; "auto" keeps all, at any scale."""
    alpha = [0.5, 0.5]
    [few] = mixture_responsibilities(large(2, 1.0), alpha, rule=PLAIN).values()
    assert float(few.of("t0").amax()) < 0.95
    for size in (400, 4000):
        tasks = large(size, scale)
        [plain] = mixture_responsibilities(tasks, alpha, rule=PLAIN).values()
        [tempered] = mixture_responsibilities(tasks, alpha, rule=MixtureMerge()).values()
        for task in tasks:
            assert float(plain.of(task).amax()) > 1 - 1e-6
            assert 1 / 3 + 1e-3 < float(tempered.of(task).amax()) < 0.7


def test_the_automatic_temperature_is_the_number_of_parameters_where_runs_are_calibrated():
    """As far apart as their posteriors say: `τ = P`; in a precision too large by a factor, `τ` too."""
    for scale in (1.0, 50.0):
        [found] = mixture_responsibilities(large(4000, scale), [0.5, 0.5], rule=MixtureMerge()).values()
        # a mean of 8000 squares of standard normal variables: five standard deviations are 8 %
        assert (found.temperatures / (4000 * scale)).tolist() == pytest.approx([1.0, 1.0], abs=0.08)


def test_the_automatic_temperature_by_hand():
    """`Σ_k ‖m_k - m̄‖² / (R-1)` at the soup of the task's own runs, never under one."""
    mean, precision = torch.tensor([0.0, 3.0, 6.0]).double(), 2.0
    runs = [Diagonal({"w": m[None]}, {"w": torch.tensor([precision]).double()}) for m in mean]
    near = [Isotropic({"w": torch.zeros(1)}, 1.0), Isotropic({"w": torch.full((1,), 0.1)}, 1.0)]
    apart = [Isotropic({"w": torch.zeros(1)}, 1.0), Isotropic({"w": torch.zeros(1)}, 1e6)]
    for members, expected in ((runs, 18.0 * precision / 2), (near, 1.0), (apart, 0.5 * math.log(1e6))):
        tasks = {"a": Mixture(members), "b": Mixture(members)}
        [found] = mixture_responsibilities(tasks, [0.9, 0.1], rule=MixtureMerge()).values()
        assert found.temperatures.tolist() == pytest.approx([expected, expected], rel=1e-6)


@pytest.mark.parametrize("tempering", ["auto", 1.0])
def test_the_order_of_components_and_of_tasks_does_not_matter(tempering: str | float):
    for seed in range(3):
        problem = Problem.random("diagonal", seed, (2, 3), spread=2.0)
        rule = MixtureMerge("model", tempering, tolerance=1e-11, max_steps=3000)
        straight = problem.merge({"t0": 0.4, "t1": 0.6}, rule)
        turned = replace(
            problem,
            runs=tuple(runs[::-1] for runs in problem.runs),
            logs=tuple(logs[::-1] for logs in problem.logs),
        )
        assert_same(turned.merge({"t0": 0.4, "t1": 0.6}, rule), straight, 1e-8)
        backwards = dict(reversed(problem.posteriors.items()))
        assert_same(merge(backwards, {"t0": 0.4, "t1": 0.6}, rule=rule), straight, 1e-8)


def test_groups_have_responsibilities_of_their_own():
    """Two tensors that different runs are right about: only by tensor can the merge use both."""

    def run(first: float, second: float, sharp: tuple[float, float] = (25.0, 25.0)) -> Diagonal:
        mean = {"blocks.0.a": double(first), "blocks.0.b": double(second)}
        return Diagonal(mean, {name: double(h) for name, h in zip(mean, sharp, strict=True)})

    tasks = {"x": Mixture([run(0, 5), run(5, 0)]), "y": Mixture([run(0, 0)])}
    by_tensor = merge(tasks, [0.5, 0.5], rule=MixtureMerge("tensor", 1.0))
    assert [float(tensor) for tensor in by_tensor.values()] == pytest.approx([0.0, 0.0], abs=1e-6)
    for groups in ("layer", "model", lambda name: "all"):
        whole = merge(tasks, [0.5, 0.5], rule=MixtureMerge(groups, 1.0))
        assert sorted(float(tensor) for tensor in whole.values()) == pytest.approx([0.0, 2.5], abs=1e-6)
    names = {groups: list(mixture_responsibilities(tasks, [0.5, 0.5], rule=MixtureMerge(groups, 1.0)))
             for groups in ("tensor", "layer", "model")}  # fmt: skip
    assert names == {"tensor": ["blocks.0.a", "blocks.0.b"], "layer": ["blocks.0"], "model": ["model"]}


def test_a_layer_of_several_blocks_is_searched_once(monkeypatch: pytest.MonkeyPatch):
    calls = []
    search = mixture_module.maximise
    monkeypatch.setattr(mixture_module, "maximise", lambda *given: calls.append(1) or search(*given))
    problem = Problem.random("diagonal", 0)
    problem.merge([[0.4, 0.6], [0.5, 0.5]], MixtureMerge("layer"))
    assert len(calls) == 2  # blocks.0 and head, of three tensors


def test_a_search_in_small_pieces_is_the_same_search(monkeypatch: pytest.MonkeyPatch):
    problem = Problem.random("diagonal", 5, spread=2.0)
    whole = problem.merge([0.4, 0.6], PLAIN)
    monkeypatch.setattr(mixture_components, "ELEMENTS_AT_ONCE", 5)
    assert_same(problem.merge([0.4, 0.6], PLAIN), whole, 1e-12)


def test_weights_by_patterns_have_responsibilities_by_patterns():
    problem = Problem.random("diagonal", 6, spread=2.0)
    patterned = PatternWeights([0.2, 0.8], {"head.*": [0.9, 0.1]})
    found = problem.merge(patterned, MixtureMerge("layer"))
    body, head = (problem.merge(weights, MixtureMerge("layer")) for weights in ([0.2, 0.8], [0.9, 0.1]))
    assert_same(found, {**body, "head.weight": head["head.weight"]}, 1e-12)


def test_a_search_that_was_cut_short_is_counted():
    problem = Problem.random("diagonal", 9, spread=0.5)
    for steps, expected in ((1, {mixture_module.UNCONVERGED: 2}), (2000, {})):
        inputs = collect_inputs(problem.posteriors)
        rule = MixtureMerge("model", 1.0, starts=1, max_steps=steps, tolerance=1e-6)
        dict(merge_blocks(inputs, [[0.4, 0.6], [0.3, 0.7]], rule))
        assert inputs.tally.counts == expected


def test_more_starts_find_better_points():
    """From the soup alone the search ends in a worse optimum of a problem with several."""
    task = Mixture([Diagonal({"w": double(m)}, {"w": double(4.0)}) for m in (-6.0, -5.9, 5.0)], [0.0, 0.0, 4.0])
    tasks = {"a": task, "b": Mixture([Diagonal({"w": double(-0.2)}, {"w": double(1e-3)})])}
    found = {
        starts: mixture_responsibilities(tasks, [0.9, 0.1], rule=MixtureMerge("model", 1.0, starts=starts))["model"]
        for starts in (1, 16)
    }
    assert found[1].start == ("soup",)
    assert float(found[16].objective) > float(found[1].objective) + 0.1
    assert found[16].start == ("runs 2, 0",)


def test_a_gaussian_may_stand_beside_mixtures_in_any_order():
    one, other = (Isotropic({"w": torch.tensor([m])}, 1.0) for m in (0.0, 2.0))
    for tasks in ({"a": one, "b": Mixture([one, other])}, {"b": Mixture([one, other]), "a": one}):
        found = merge(tasks, {"a": 0.5, "b": 0.5}, rule=MixtureMerge(responsibilities="equal"))
        assert found["w"].tolist() == [0.5]


def test_other_rules_say_which_one_merges_mixtures():
    tasks = {"a": Mixture([Isotropic({"w": torch.ones(1)})])}
    with pytest.raises(PosteriorError, match="merge it with the rule mixture"):
        merge(tasks, {"a": 1.0})


def test_a_component_without_precision_is_named():
    flat = Diagonal({"w": torch.zeros(2)}, {"w": torch.tensor([1.0, 0.0])})
    fine = Diagonal({"w": torch.ones(2)}, {"w": torch.ones(2)})
    tasks = {"a#x": Mixture([fine, flat]), "b": fine}
    with pytest.raises(PosteriorError, match=r"component 1 of the task 'a#x' has no precision somewhere in 'w'.*Damp"):
        merge(tasks, [0.5, 0.5], rule=MixtureMerge())
    with pytest.raises(PosteriorError, match="the prior has no precision somewhere in 'w'"):
        merge({"a": Mixture([fine, fine])}, [0.5], prior=flat, rule=MixtureMerge())
    # alike, their densities are not needed
    assert merge(tasks, [0.5, 0.5], rule=MixtureMerge(responsibilities="equal"))["w"].tolist() == pytest.approx(
        [0.75, 1]
    )


def test_a_prior_that_is_a_mixture_is_refused():
    mixture = Mixture([Isotropic({"w": torch.ones(1)})])
    with pytest.raises(PosteriorError, match="the prior is a mixture: give one Gaussian"):
        merge({"a": mixture}, [0.5], prior=mixture, rule=MixtureMerge())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tempering": 0.0}, "tempering is 0.0: give 'auto', or a number > 0"),
        ({"tempering": math.nan}, "tempering is nan"),
        ({"tempering": "cold"}, "tempering is 'cold'"),
        ({"responsibilities": "same"}, "responsibilities is 'same': one of em, equal"),
        ({"starts": 0}, "starts is 0: at least 1"),
        ({"max_steps": 0}, "max_steps is 0: at least 1"),
        ({"starts": True}, "starts is True"),
        ({"tolerance": -1.0}, r"tolerance is -1.0: it must be >= 0"),
        ({"tolerance": math.nan}, "tolerance is nan"),
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, object], message: str):
    with pytest.raises(RecipeError, match=message):
        MixtureMerge(**wrong)


def test_an_unknown_grouping_is_refused():
    with pytest.raises(PosteriorError, match="unknown grouping 'heads'"):
        merge({"a": Isotropic({"w": torch.ones(1)})}, [1.0], rule=MixtureMerge("heads"))


def test_a_recipe_can_name_it():
    rule = method("rule", "mixture", {"groups": "layer", "tempering": 2, "responsibilities": "em"})
    assert rule == MixtureMerge("layer", 2.0)
    assert method("rule", "mixture", {"tempering": "auto"}) == MixtureMerge()
    with pytest.raises(RecipeError, match="unknown grouping 'heads'"):
        method("rule", "mixture", {"groups": "heads"})
