from __future__ import annotations

import pytest
import torch
from torch import Tensor

from paretomerge.posteriors import (
    Diagonal,
    Kronecker,
    KroneckerFactors,
    Product,
    common_frame,
    diagonal_in,
    seen_from,
    share_bases,
)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthogonal(seed: int, size: int) -> Tensor:
    return torch.linalg.qr(draw(seed, size, size))[0].contiguous()


def factors(seed: int, inputs: Tensor | None, outputs: Tensor | None) -> KroneckerFactors:
    return KroneckerFactors("w", None, inputs, outputs, draw(seed, 2, 3).square())


def explicit(found: KroneckerFactors) -> Tensor:
    left = torch.eye(2).double() if found.outputs is None else found.outputs.contiguous()
    right = torch.eye(3).double() if found.inputs is None else found.inputs.contiguous()
    both = torch.kron(left, right)
    return both @ torch.diag(found.eigenvalues.reshape(-1)) @ both.T


@pytest.mark.parametrize("standard", ["neither", "inputs", "outputs", "both"])
def test_the_diagonal_is_that_of_the_matrix_in_the_frame(standard):
    given = [
        (
            None if standard in ("inputs", "both") else orthogonal(s, 3),
            None if standard in ("outputs", "both") else orthogonal(s + 1, 2),
        )
        for s in (0, 10)
    ]
    terms = [factors(20 + n, *bases) for n, bases in enumerate(given)]
    frame = common_frame(terms)
    left = torch.eye(2).double() if frame.outputs is None else frame.outputs.contiguous()
    right = torch.eye(3).double() if frame.inputs is None else frame.inputs.contiguous()
    both = torch.kron(left, right)
    for term in terms:
        rotated = both.T @ explicit(term) @ both
        assert torch.allclose(diagonal_in(frame, term).reshape(-1), rotated.diagonal(), rtol=1e-10)
        assert torch.allclose(explicit(seen_from(frame, term)), rotated, rtol=1e-8, atol=1e-12)


def test_equal_bases_are_kept_and_nothing_is_lost():
    bases = orthogonal(0, 3), orthogonal(1, 2)
    posteriors = {task: Kronecker({"w": draw(n, 2, 3)}, {"a": factors(n, *bases)}) for n, task in enumerate("xy")}
    for task, shared in share_bases(posteriors).items():
        own = posteriors[task].factors["a"]
        assert torch.equal(shared.factors["a"].inputs, bases[0])
        assert torch.equal(shared.factors["a"].eigenvalues, own.eigenvalues)


def test_all_tasks_get_one_basis_and_keep_their_trace():
    """The trace of a curvature is the sum of its diagonal in any basis."""
    posteriors = {
        task: Product(
            {
                "kronecker": Kronecker({"w": draw(n, 2, 3)}, {"a": factors(n, orthogonal(n, 3), orthogonal(n + 5, 2))}),
                "rest": Diagonal({"b": draw(n, 2)}, {"b": draw(n, 2).square()}),
            }
        )
        for n, task in enumerate("xyz")
    }
    shared = share_bases(posteriors)
    reference = shared["x"].parts["kronecker"].factors["a"]
    for task, posterior in shared.items():
        layer, own = posterior.parts["kronecker"].factors["a"], posteriors[task].parts["kronecker"].factors["a"]
        assert torch.equal(layer.inputs, reference.inputs)
        assert torch.equal(layer.outputs, reference.outputs)
        assert float(layer.eigenvalues.sum()) == pytest.approx(float(own.eigenvalues.sum()), rel=1e-10)
        assert posterior.parts["rest"] is posteriors[task].parts["rest"]


def test_standard_bases_count_for_nothing_beside_others():
    basis = orthogonal(0, 3)
    frame = common_frame([factors(0, basis, None), factors(1, None, None)])
    assert torch.equal(frame.inputs, basis)
    assert frame.outputs is None
