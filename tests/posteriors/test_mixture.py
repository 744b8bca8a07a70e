from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from tests.gaussians import FAMILIES, draw_gaussian

from paretomerge.errors import PosteriorError, WeightsError
from paretomerge.posteriors import (
    Diagonal,
    Isotropic,
    Mixture,
    Product,
    Subspace,
    components_of,
    damp,
    soup,
    task_vector_basis,
)
from paretomerge.types import TensorSpec

ONE = Isotropic({"w": torch.tensor([0.0, 1.0]), "steps": torch.tensor(7)}, 2.0)
OTHER = Isotropic({"w": torch.tensor([3.0, 1.0]), "steps": torch.tensor(9)}, 1.0)


@pytest.mark.parametrize("family", FAMILIES)
def test_density_is_the_logarithm_of_the_weighted_sum(family: str):
    """As PyTorch's own mixture of normal distributions has it; energy is minus that."""
    generator = torch.Generator().manual_seed(2)
    parts = [draw_gaussian(family, generator) for _ in range(3)]
    weights = torch.tensor([0.2, 0.5, 0.3]).double()
    mixture = Mixture([part.posterior for part in parts], weights.log() + 4.0)
    theta = mixture.sample(generator)
    normal = torch.distributions.MultivariateNormal(
        torch.stack([part.mean for part in parts]), precision_matrix=torch.stack([part.precision for part in parts])
    )
    oracle = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(weights), normal)
    expected = float(oracle.log_prob(parts[0].coordinates(theta)))
    assert mixture.log_density(theta) == pytest.approx(expected, rel=1e-9)
    assert mixture.energy(theta) == -mixture.log_density(theta)


def test_densities_far_from_every_component_do_not_underflow():
    far = {"w": torch.tensor([1e4, 1e4]).double()}
    mixture = Mixture([ONE, OTHER])
    # the second is wider and nearer: it alone counts, with its weight of a half
    assert mixture.log_density(far) == pytest.approx(math.log(0.5) + OTHER.log_density(far), rel=1e-14)


def test_mean_is_the_weighted_mean_and_is_read_tensor_by_tensor():
    mixture = Mixture.of_runs([ONE, OTHER], [1.0, 3.0])
    assert mixture.mean["w"].tolist() == [2.25, 1.0]
    assert mixture.mean["steps"] == 7  # not a number to average: that of the first
    assert list(mixture.mean) == ["w", "steps"]
    assert len(mixture.mean) == 2
    assert "w" in mixture.mean
    assert mixture.mean.spec("w") == TensorSpec((2,), torch.float32) == mixture.specs["w"]


def test_mean_keeps_the_dtype_and_reads_nothing_else():
    class Once(Mapping):
        def __init__(self):
            self.read = []

        def spec(self, name):
            return TensorSpec((1,), torch.bfloat16)

        def __getitem__(self, name):
            self.read.append(name)
            return torch.ones(1, dtype=torch.bfloat16)

        def __iter__(self):
            return iter(("w", "v"))

        def __len__(self):
            return 2

    lazy = Once()
    assert Mixture([Isotropic(lazy), Isotropic(lazy)]).mean["v"].dtype == torch.bfloat16
    assert set(lazy.read) == {"v"}


def test_samples_come_from_the_components_in_proportion_to_their_weights():
    narrow = [Isotropic({"w": torch.tensor([m])}, 1e6) for m in (0.0, 10.0)]
    mixture, generator = Mixture.of_runs(narrow, [0.2, 0.8]), torch.Generator().manual_seed(0)
    drawn = torch.cat([mixture.sample(generator)["w"] for _ in range(2000)])
    # five standard deviations of a share: 5 · √(0.16 / 2000) = 0.045
    assert float((drawn > 5).double().mean()) == pytest.approx(0.8, abs=0.045)
    assert float((drawn - drawn.round(decimals=-1)).abs().max()) < 0.01


def test_equal_weights_are_the_default_and_weights_have_no_scale():
    assert Mixture([ONE, OTHER]).log_weights.exp().tolist() == pytest.approx([0.5, 0.5])
    assert Mixture([ONE, OTHER], [1000.0, 1000.0]).log_weights.exp().tolist() == pytest.approx([0.5, 0.5])
    assert Mixture.of_runs([ONE, OTHER], [2, 6]).log_weights.exp().tolist() == pytest.approx([0.25, 0.75])


def test_a_run_may_be_a_plain_checkpoint():
    mixture = Mixture.of_runs([{"w": torch.zeros(1)}, {"w": torch.ones(1)}])
    assert [component.family for component in mixture.components] == ["isotropic"] * 2


def test_what_belongs_to_blocks_is_that_of_the_components():
    known = draw_gaussian("subspace", torch.Generator().manual_seed(0))
    mixture, single = Mixture([known.posterior] * 2), known.posterior
    [block] = mixture.blocks()
    assert block == single.blocks()[0]
    assert mixture.names(block) == single.names(block)
    gradient = single.mean
    torch.testing.assert_close(mixture.restrict(block, gradient), single.restrict(block, gradient))
    step = torch.ones(3).double()
    for name, tensor in single.displacement(block, step).items():
        assert torch.equal(mixture.displacement(block, step)[name], tensor)
    outs = [{name: torch.empty((1, *spec.shape)).double() for name, spec in single.specs.items()} for _ in range(2)]
    assert list(mixture.expand(block, step[None], outs[0])) == list(single.expand(block, step[None], outs[1]))
    assert all(torch.equal(outs[0][name], outs[1][name]) for name in outs[0])


def test_views_replace_every_component():
    doubled = Mixture([ONE, OTHER], [0.0, 1.0]).map_params(lambda p: {name: 2 * t for name, t in p.items()})
    assert [component.mean["w"].tolist() for component in doubled.components] == [[0.0, 2.0], [6.0, 2.0]]
    assert doubled.log_weights.tolist() == Mixture([ONE, OTHER], [0.0, 1.0]).log_weights.tolist()


def test_digest_is_of_components_and_weights():
    same = [Mixture([ONE, OTHER]).digest, Mixture([ONE, OTHER], [3.0, 3.0]).digest]
    assert same[0] == same[1]
    again = Mixture([ONE, OTHER], Mixture([ONE, OTHER], [0.1, 0.7]).log_weights)
    assert again.digest == Mixture([ONE, OTHER], [0.1, 0.7]).digest
    others = {Mixture([OTHER, ONE]).digest, Mixture([ONE, OTHER], [0.0, 1.0]).digest, Mixture([ONE]).digest}
    assert len(others | {same[0], ONE.digest}) == 5


def test_a_mixture_fits_mixtures_of_other_sizes_and_single_gaussians():
    mixture = Mixture([ONE, OTHER])
    for fitting in (Mixture([ONE]), ONE):
        mixture.require_same_kind(fitting)
    diagonal = Diagonal({"w": torch.ones(2), "steps": torch.tensor(7)}, {"w": torch.ones(2)})
    for other in (diagonal, Mixture([diagonal])):
        with pytest.raises(PosteriorError, match="different families"):
            mixture.require_same_kind(other)


def test_it_has_no_natural_parameters():
    with pytest.raises(PosteriorError, match=r"merge it with the rule mixture \(MixtureMerge\)"):
        Mixture([ONE]).natural("w")


@pytest.mark.parametrize(
    ("components", "logs", "message"),
    [
        ([], None, "needs at least one component"),
        ([ONE, Mixture([ONE])], None, "a component is a mixture itself: list its components instead"),
        ([ONE, Isotropic({"v": torch.zeros(2)})], None, "different parameters"),
        ([ONE, OTHER], [0.0], r"2 components but log_weights of shape \[1\]"),
        ([ONE, OTHER], [0.0, -math.inf], "must be finite. Leave out a component that has no weight"),
        ([ONE, OTHER], [0.0, math.nan], "must be finite"),
    ],
)
def test_bad_components_and_weights_are_refused(components, logs, message: str):
    with pytest.raises(PosteriorError, match=message):
        Mixture(components, logs)


@pytest.mark.parametrize("weights", [[0.0, 1.0], [-1.0, 2.0], [math.nan, 1.0], [math.inf, 1.0]])
def test_weights_of_runs_must_be_positive(weights: list[float]):
    with pytest.raises(PosteriorError, match="the weights of the runs must be positive"):
        Mixture.of_runs([ONE, OTHER], weights)


@pytest.mark.parametrize("runs", [ONE, {"w": torch.zeros(1)}])
def test_a_single_run_must_be_in_a_list(runs):
    with pytest.raises(PosteriorError, match="give a list of runs"):
        Mixture.of_runs(runs)


def test_components_of_mixtures_are_damped_alike():
    """By one strength, the mean of all components' own; single Gaussians beside them too, and weights stay."""

    def run(*precision: float) -> Diagonal:
        return Diagonal({"w": torch.zeros(2)}, {"w": torch.tensor(precision)})

    found = damp({"a": Mixture([run(0.0, 2.0), run(3.0, 3.0)], [0.0, 1.0]), "b": run(2.0, 2.0)}, 0.5)
    # the means of the diagonals are 1, 3 and 2
    assert [component.precision["w"].tolist() for component in found["a"].components] == [[1.0, 3.0], [4.0, 4.0]]
    assert [component.precision["w"].tolist() for component in components_of(found["b"])[0]] == [[3.0, 3.0]]
    assert found["a"].log_weights.tolist() == pytest.approx(torch.tensor([0.0, 1.0]).log_softmax(0).tolist())


def test_the_prior_of_a_subspace_run_is_centred_at_its_tasks_finetune():
    """Its component's own name is no task's; parts of a product are no exception."""
    base, tunes = (
        {"w": torch.zeros(2).double()},
        {"a": {"w": torch.ones(2).double()}, "b": {"w": torch.eye(2)[0].double()}},
    )
    basis = task_vector_basis(base, tunes, "model")
    runs = {task: Subspace(base, basis, torch.eye(2).double(), basis.corner(task)) for task in tunes}
    single = damp(runs, 0.5)
    mixed = damp({task: Mixture([run, run]) for task, run in runs.items()}, 0.5)
    parts = damp({task: Mixture([Product({"p": run})] * 2) for task, run in runs.items()}, 0.5)
    for task in tunes:
        for component in (*mixed[task].components, *(found.parts["p"] for found in parts[task].components)):
            assert component.digest == single[task].digest


def test_the_soup_gives_every_run_of_a_task_the_same_share():
    members, weights = soup({"a": Mixture([ONE, OTHER], [0.0, 5.0]), "b": ONE}, {"b": 0.4, "a": 0.6})
    assert list(members) == ["a#0", "a#1", "b#0"]
    assert members["a#1"] is OTHER
    assert weights.tolist() == pytest.approx([0.3, 0.3, 0.4])
    _, batch = soup({"a": Mixture([ONE, OTHER]), "b": ONE}, np.eye(2))
    assert batch.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


def test_the_soup_wants_a_weight_for_each_task():
    with pytest.raises(WeightsError, match="unknown task 'c'"):
        soup({"a": ONE}, {"c": 1.0})


def test_a_gaussian_is_its_only_component():
    members, logs = components_of(ONE)
    assert members == (ONE,)
    assert logs.tolist() == [0.0]
