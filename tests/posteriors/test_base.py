"""The laws that the interface `Posterior` states, for every family."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Dense, Diagonal, Isotropic, cholesky
from paretomerge.posteriors.base import require_finite, require_symmetric

FAMILIES = ("isotropic", "diagonal", "dense", "subspace", "product")


@pytest.fixture(params=FAMILIES)
def given(request, known):
    return known(request.param)


def test_the_mean_is_the_mean_and_blocks_expand_to_it(given):
    mean = given.posterior.mean
    assert torch.allclose(given.coordinates(mean), given.mean, atol=1e-12)
    for block in given.posterior.blocks():
        natural = given.posterior.natural(block)
        solution = (
            natural.mean if hasattr(natural, "mean") else torch.linalg.solve(natural.precision, natural.precision_mean)
        )
        out = {name: torch.empty(1, *mean[name].shape, dtype=mean[name].dtype) for name in mean}
        names = list(given.posterior.expand(block, solution[None], out))
        assert tuple(names) == given.posterior.names(block)
        for name in names:
            assert torch.allclose(out[name][0], mean[name], atol=1e-12)


def test_the_gradient_of_the_energy_vanishes_at_the_mean_and_its_hessian_is_the_precision(given):
    def energy(c):
        return given.posterior.energy(given.at(c))

    step, identity = 0.5, torch.eye(len(given.mean), dtype=torch.float64)
    # The energy is quadratic: central differences are exact whatever the step.
    for i, e in enumerate(identity):
        ahead, behind = energy(given.mean + step * e), energy(given.mean - step * e)
        assert ahead - behind == pytest.approx(0.0, abs=1e-9)
        curvature = (ahead - 2 * energy(given.mean) + behind) / step**2
        assert curvature == pytest.approx(float(given.precision[i, i]), rel=1e-8)


def test_energy_differences_are_those_of_the_log_density_and_it_is_the_multivariate_normals(given, generator):
    normal = MultivariateNormal(given.mean, precision_matrix=given.precision)
    points = [given.mean + torch.randn(len(given.mean), generator=generator).double() for _ in range(3)]
    density = [given.posterior.log_density(given.at(point)) for point in points]
    energy = [given.posterior.energy(given.at(point)) for point in points]
    assert density == pytest.approx([float(normal.log_prob(point)) for point in points], rel=1e-9)
    assert energy[0] - energy[1] == pytest.approx(density[1] - density[0], rel=1e-8)


def test_samples_have_the_mean_and_the_covariance(given):
    """Target: the inverse precision; budget: 4000 draws, five standard errors."""
    generator, count = torch.Generator().manual_seed(2), 4000
    drawn = torch.stack([given.coordinates(given.posterior.sample(generator)) for _ in range(count)])
    covariance = torch.linalg.inv(given.precision)
    spread = covariance.diagonal().sqrt()
    assert ((drawn.mean(0) - given.mean).abs() < 5 * spread / count**0.5).all()
    # Var of a sample covariance: (S_ii S_jj + S_ij²) / n.
    error = ((spread[:, None] * spread) ** 2 + covariance**2).sqrt() / count**0.5
    assert ((torch.cov(drawn.T) - covariance).abs() < 5 * error).all()


def test_equal_digests_mean_equal_posteriors(known, given):
    family = given.posterior.family
    assert known(family, 0).posterior.digest == given.posterior.digest
    assert known(family, 1).posterior.digest != given.posterior.digest


def test_a_posterior_fits_itself_and_no_other_family(known, given):
    given.posterior.require_same_kind(known(given.posterior.family, 0).posterior)
    other = known("dense" if given.posterior.family != "dense" else "isotropic").posterior
    with pytest.raises(PosteriorError, match="merge"):
        given.posterior.require_same_kind(other)


def test_samples_keep_dtypes_and_copy_integers(generator):
    mean = {"w": torch.zeros(2, dtype=torch.bfloat16), "n": torch.tensor([3])}
    drawn = Diagonal(mean, {"w": torch.ones(2)}).sample(generator)
    assert drawn["w"].dtype == torch.bfloat16
    assert drawn["n"].item() == 3


def test_posteriors_of_other_models_and_families_do_not_fit():
    one = Isotropic({"w": torch.zeros(2), "b": torch.zeros(1)})
    with pytest.raises(PosteriorError, match="different families cannot be merged: isotropic and diagonal"):
        one.require_same_kind(Diagonal({"w": torch.zeros(2)}, {"w": torch.ones(2)}))
    with pytest.raises(PosteriorError, match="first difference at 'b'"):
        one.require_same_kind(Isotropic({"w": torch.zeros(2)}))
    with pytest.raises(PosteriorError, match="first difference at 'b'"):
        one.require_same_kind(Isotropic({"w": torch.zeros(2), "b": torch.zeros(3)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value):
    bad = {"w": torch.tensor([1.0, value])}
    with pytest.raises(PosteriorError, match="the mean 'w' has 1 NaN or infinite entries: the finetune diverged"):
        Isotropic(bad)
    with pytest.raises(PosteriorError, match="the precision of 'w' has 1 NaN or infinite"):
        Diagonal({"w": torch.ones(2)}, bad)
    with pytest.raises(PosteriorError, match="the precision has 1 NaN"):
        require_finite(bad["w"], "the precision")


def test_a_model_without_tensors_is_refused():
    with pytest.raises(PosteriorError, match="the mean has no tensors"):
        Isotropic({})


def test_precisions_must_be_symmetric_matrices_of_the_right_size():
    with pytest.raises(PosteriorError, match=r"the precision has shape \[2, 3\], expected \[2, 2\]"):
        Dense({"w": torch.zeros(2)}, torch.zeros(2, 3))
    with pytest.raises(PosteriorError, match="is not symmetric: it differs from its transpose by 1"):
        Dense({"w": torch.zeros(2)}, torch.tensor([[2.0, 1.0], [0.0, 2.0]]))
    rounding = torch.tensor([[2.0, 1.0], [1.0 + 1e-7, 2.0]], dtype=torch.float64)
    found = require_symmetric(rounding, 2, "H")
    assert torch.equal(found, found.T)


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0.0], [0.0, -1.0]],
        [[1.0, 0.0], [0.0, 0.0]],
        [[1.0, 1.0], [1.0, 1.0]],
        [[1.0, 1.0], [1.0, 1.0 + 1e-16]],
    ],
)
def test_a_precision_that_is_not_definite_is_refused(matrix):
    with pytest.raises(PosteriorError, match="H is not positive definite: some direction has no curvature"):
        cholesky(torch.tensor(matrix, dtype=torch.float64), "H")


def test_a_rank_deficient_matrix_is_refused_even_when_rounding_hides_it(generator):
    hidden = 0
    for _ in range(20):
        root = torch.randn(12, 11, generator=generator, dtype=torch.float64)
        hidden += int(torch.linalg.cholesky_ex(root @ root.T).info == 0)
        with pytest.raises(PosteriorError, match="not positive definite"):
            cholesky(root @ root.T, "H")
    assert hidden, "no example passed a plain Cholesky: draw others"


@pytest.mark.parametrize("size", [1, 3, 60])
def test_an_ill_conditioned_precision_is_accepted_and_factored(size, generator):
    orthogonal = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    matrix = (orthogonal * torch.logspace(-9, 0, size, dtype=torch.float64)) @ orthogonal.T
    factor = cholesky((matrix + matrix.T) / 2, "H")
    assert torch.allclose(factor @ factor.T, matrix, atol=1e-14)
    assert torch.equal(factor, factor.tril())
