"""Sums of Kronecker-factored precisions against the dense matrices they stand for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.merging import merge
from paretomerge.merging.factored import FactoredTerms
from paretomerge.posteriors import Dense, Kronecker, KroneckerFactors
from paretomerge.types import Layout


def orthogonal(size: int, generator: torch.Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]


def random_factors(rows: int, columns: int, seed: int, **given) -> KroneckerFactors:
    generator = torch.Generator().manual_seed(seed)
    settings = {
        "weight": "w",
        "bias": None,
        "inputs": orthogonal(columns, generator),
        "outputs": orthogonal(rows, generator),
        "eigenvalues": torch.randn(rows, columns, generator=generator, dtype=torch.float64).exp(),
        **given,
    }
    return KroneckerFactors(**settings)


def explicit(factors: KroneckerFactors) -> Tensor:
    """`(U_G ⊗ U_A) diag(Λ) (U_G ⊗ U_A)ᵀ` over the rows of `X`, one after the other."""
    rows, columns = factors.shape
    left = torch.eye(rows, dtype=torch.float64) if factors.outputs is None else factors.outputs
    right = torch.eye(columns, dtype=torch.float64) if factors.inputs is None else factors.inputs
    both = torch.kron(left.contiguous(), right.contiguous())
    return both @ torch.diag(factors.eigenvalues.reshape(-1)) @ both.T


@settings(max_examples=25)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 5),
    terms=st.integers(1, 4),
    seed=st.integers(0, 999),
    plain=st.booleans(),
)
def test_the_sum_is_inverted_as_its_matrix_is(rows, columns, terms, seed, plain):
    bases = {"inputs": None} if plain else {}
    factors = [random_factors(rows, columns, 10 * seed + number, **bases) for number in range(terms)]
    weights = torch.rand(terms, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    right = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    total = sum(weight * explicit(term) for weight, term in zip(weights, factors, strict=True))
    expected = torch.linalg.solve(total, right.reshape(-1)).reshape(rows, columns)
    found = FactoredTerms(factors).solve(weights, right)
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))


def params_of(rows: int, columns: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "w": torch.randn(rows, columns, generator=generator, dtype=torch.float64),
        "b": torch.randn(rows, generator=generator, dtype=torch.float64),
    }


def test_a_merge_of_layers_with_biases_is_the_dense_merge():
    rows, columns = 3, 4
    layout = Layout({"w": (rows, columns), "b": (rows,)})
    order = torch.tensor(
        [r * columns + c if c < columns else rows * columns + r for r in range(rows) for c in range(5)]
    )
    posteriors, dense = {}, {}
    for number, task in enumerate("abc"):
        factors = random_factors(rows, columns + 1, number, bias="b")
        params = params_of(rows, columns, 50 + number)
        matrix = torch.zeros(15, 15, dtype=torch.float64)
        matrix[order[:, None], order] = explicit(factors)
        posteriors[task] = Kronecker(params, {"layer": factors})
        dense[task] = Dense(params, matrix)
        assert posteriors[task].energy(params_of(rows, columns, 7)) == pytest.approx(
            dense[task].energy(params_of(rows, columns, 7)), rel=1e-10
        )
        assert posteriors[task].log_density(params_of(rows, columns, 7)) == pytest.approx(
            dense[task].log_density(params_of(rows, columns, 7)), rel=1e-10
        )
    for row in ([0.2, 0.3, 0.5], [0.9, 0.1, 0.0], [0.0, 1.0, 0.0]):
        found, expected = merge(posteriors, row), merge(dense, row)
        assert torch.allclose(layout.flatten(found), layout.flatten(expected), rtol=1e-9, atol=1e-9)


def test_stored_transposed_is_the_same_merge():
    straight, turned = {}, {}
    for number, task in enumerate("ab"):
        factors = random_factors(3, 4, number)
        params = params_of(3, 4, 50 + number)
        straight[task] = Kronecker({"w": params["w"]}, {"layer": factors})
        turned[task] = Kronecker(
            {"w": params["w"].T.contiguous()},
            {"layer": random_factors(3, 4, number, transposed=True)},
        )
    found, expected = merge(turned, [0.4, 0.6]), merge(straight, [0.4, 0.6])
    assert torch.allclose(found["w"].T, expected["w"], rtol=1e-12)


def test_where_no_task_has_curvature_the_average_stays():
    def seen_first_row(seed: int) -> KroneckerFactors:
        eigenvalues = torch.zeros(3, 4, dtype=torch.float64)
        eigenvalues[0] = 1.0 + seed
        return random_factors(3, 4, seed, outputs=None, eigenvalues=eigenvalues)

    means = [params_of(3, 4, number)["w"] for number in range(2)]
    posteriors = {
        task: Kronecker({"w": mean}, {"layer": seen_first_row(number)})
        for number, (task, mean) in enumerate(zip("ab", means, strict=True))
    }
    merged = merge(posteriors, [0.3, 0.7])["w"]
    assert torch.allclose(merged[1:], 0.3 * means[0][1:] + 0.7 * means[1][1:], rtol=1e-12)
    assert torch.allclose(merged[0], (0.3 * means[0][0] + 1.4 * means[1][0]) / 1.7, rtol=1e-9)


def test_terms_that_share_their_bases_need_one_step(monkeypatch):
    monkeypatch.setattr("paretomerge.merging.factored.MOST_STEPS", 2)
    first = random_factors(5, 6, 0)
    other = random_factors(5, 6, 1, inputs=first.inputs, outputs=first.outputs)
    right = torch.ones(5, 6, dtype=torch.float64)
    weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    found = FactoredTerms([first, other]).solve(weights, right)
    assert torch.allclose(0.5 * first.apply(found) + 0.5 * other.apply(found), right, rtol=1e-10)


def test_a_prior_that_outweighs_the_tasks_is_refused():
    task = Kronecker({"w": params_of(2, 2, 0)["w"]}, {"layer": random_factors(2, 2, 0, eigenvalues=torch.ones(2, 2))})
    prior = Kronecker(
        {"w": torch.zeros(2, 2).double()}, {"layer": random_factors(2, 2, 0, eigenvalues=torch.full((2, 2), 5.0))}
    )
    with pytest.raises(PosteriorError, match="at least as precise as the prior"):
        merge({"a": task}, {"a": 2.0}, prior=prior)


def test_too_bad_a_condition_is_said(monkeypatch):
    monkeypatch.setattr("paretomerge.merging.factored.MOST_STEPS", 1)
    terms = [random_factors(6, 6, seed) for seed in range(2)]
    with pytest.raises(PosteriorError, match=r"too badly conditioned.*Add damping"):
        FactoredTerms(terms).solve(torch.tensor([0.5, 0.5], dtype=torch.float64), torch.ones(6, 6, dtype=torch.float64))
