from __future__ import annotations

import pytest
import torch

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Kronecker, KroneckerFactors, damp


def factors(weight: str = "w", bias: str | None = None, shape=(2, 3), **given) -> KroneckerFactors:
    columns = shape[1] + (bias is not None)
    settings = {
        "inputs": torch.eye(columns),
        "outputs": torch.eye(shape[0]),
        "eigenvalues": torch.ones(shape[0], columns),
    }
    return KroneckerFactors(weight, bias, **{**settings, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eigenvalues": torch.ones(3)}, r"must be a matrix \[O, I\]"),
        ({"inputs": torch.eye(2)}, r"basis of the inputs of 'w' has shape \[2, 2\], expected \[3, 3\]"),
        ({"outputs": torch.eye(3)}, r"basis of the outputs of 'w' has shape \[3, 3\], expected \[2, 2\]"),
        ({"eigenvalues": -torch.ones(2, 3)}, "precision of 'w' is negative"),
        ({"eigenvalues": torch.full((2, 3), torch.nan)}, "NaN"),
        ({"inputs": torch.full((3, 3), torch.inf)}, "NaN or infinite"),
    ],
)
def test_factors_that_fit_nothing_are_refused(given, message):
    with pytest.raises(PosteriorError, match=message):
        factors(**given)


@pytest.mark.parametrize(
    ("mean", "layers", "message"),
    [
        ({"w": torch.ones(2, 3)}, {"a": factors(), "b": factors()}, "'w' is in the layers 'a' and 'b'"),
        ({"v": torch.ones(2, 3)}, {"a": factors()}, "needs 'w', which the mean does not have"),
        ({"w": torch.ones(2, 3), "v": torch.ones(1)}, {"a": factors()}, "'v' is in no layer"),
        ({"w": torch.ones(3, 3)}, {"a": factors()}, "are 2 × 3, which does not fit 'w'"),
        ({"w": torch.ones(2, 3), "b": torch.ones(3)}, {"a": factors(bias="b")}, "does not fit"),
        ({"w": torch.ones(2, 3)}, {"a": factors(transposed=True)}, "does not fit"),
    ],
)
def test_parameters_and_layers_have_to_fit(mean, layers, message):
    with pytest.raises(PosteriorError, match=message):
        Kronecker(mean, layers)


def test_convolutions_are_matrices_of_their_patches():
    weight = torch.arange(24.0).reshape(2, 3, 2, 2)
    posterior = Kronecker({"w": weight, "b": torch.tensor([5.0, 6.0])}, {"conv": factors(bias="b", shape=(2, 12))})
    matrix = posterior.natural("conv").mean
    assert torch.equal(matrix[:, :-1], weight.double().reshape(2, 12))
    assert matrix[:, -1].tolist() == [5.0, 6.0]
    out = {"w": torch.empty(1, 2, 3, 2, 2), "b": torch.empty(1, 2)}
    assert list(posterior.expand("conv", matrix[None], out)) == ["w", "b"]
    assert torch.equal(out["w"][0], weight)


def test_samples_have_the_covariance_of_the_precision():
    generator = torch.Generator().manual_seed(0)
    bases = [torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0] for n in (2, 3)]
    values = torch.tensor([[0.5, 1.0, 4.0], [2.0, 3.0, 0.25]], dtype=torch.float64)
    posterior = Kronecker(
        {"w": torch.zeros(2, 3).double()}, {"a": KroneckerFactors("w", None, bases[1], bases[0], values)}
    )
    draws = torch.stack([posterior.sample(generator)["w"] for _ in range(4000)])
    variances = (bases[0].T @ draws @ bases[1]).square().mean(0)
    # each is a mean of 4000 squares of normal numbers: relative error √(2/4000)
    assert torch.allclose(variances * values, torch.ones_like(values), atol=5 * (2 / 4000) ** 0.5)


def test_without_damping_a_singular_layer_has_no_samples():
    eigenvalues = torch.ones(2, 3)
    eigenvalues[0, 0] = 0
    posterior = Kronecker({"w": torch.ones(2, 3)}, {"a": factors(eigenvalues=eigenvalues)})
    with pytest.raises(PosteriorError, match="'w' is singular: damp the posterior first"):
        posterior.sample(torch.Generator())
    assert posterior.log_density({"w": torch.ones(2, 3)}) == -torch.inf
    damped = damp({"a": posterior}, 0.6)["a"]
    assert float(damped.factors["a"].eigenvalues[0, 0]) == pytest.approx(0.5)
    damped.sample(torch.Generator())


def test_only_the_same_layers_merge():
    one = Kronecker({"w": torch.ones(2, 3), "b": torch.ones(2)}, {"a": factors(bias="b")})
    other = Kronecker(one.mean, {"a": factors(), "b": factors("b", shape=(2, 1))})
    with pytest.raises(PosteriorError, match="different layers"):
        one.require_same_kind(other)


def test_the_digest_knows_mean_bases_and_eigenvalues():
    digests = {
        Kronecker({"w": mean}, {"a": found}).digest
        for mean, found in [
            (torch.ones(2, 3), factors()),
            (torch.zeros(2, 3), factors()),
            (torch.ones(2, 3), factors(eigenvalues=2 * torch.ones(2, 3))),
            (torch.ones(2, 3), factors(inputs=None)),
            (torch.ones(2, 3), factors(outputs=-torch.eye(2))),
        ]
    }
    assert len(digests) == 5


def test_views_reach_every_tensor():
    posterior = Kronecker({"w": torch.ones(2, 3)}, {"a": factors(inputs=None)})
    viewed = posterior.map_params(lambda held: {name: tensor.double() for name, tensor in held.items()})
    assert viewed.factors["a"].outputs.dtype == viewed.mean["w"].dtype == torch.float64
    assert viewed.factors["a"].inputs is None
