"""Kronecker factors of several tasks in one pair of eigenbases per layer.

Each task has eigenbases of its own, so a sum over tasks is diagonal in none. The eigenbases of the average factors are
nearly right for all of them. `share_bases` keeps of every task's curvature its diagonal there: the best approximation
that is diagonal in these bases (in the Frobenius norm), and one whose merges are elementwise and exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from paretomerge.posteriors.base import Posterior
from paretomerge.posteriors.expanded import Curvature, Expanded
from paretomerge.posteriors.kronecker import Kronecker, KroneckerFactors
from paretomerge.posteriors.product import Product


def share_bases(posteriors: Mapping[str, Curvature]) -> dict[str, Curvature]:
    """The same posteriors, their Kronecker parts diagonal in common eigenbases; other families are left alone.

    Expansions keep their gradients and anchors.
    """
    plain = {task: found.curvature if isinstance(found, Expanded) else found for task, found in posteriors.items()}
    shared = _shared(plain)
    return {
        task: replace(found, curvature=shared[task]) if isinstance(found, Expanded) else shared[task]
        for task, found in posteriors.items()
    }


def _shared(posteriors: Mapping[str, Posterior]) -> dict[str, Posterior]:
    products = {task: found for task, found in posteriors.items() if isinstance(found, Product)}
    if products:
        first = next(iter(products.values()))
        parts = {part: _shared({task: found.parts[part] for task, found in products.items()}) for part in first.parts}
        return {task: Product({part: parts[part][task] for part in parts}) for task in posteriors}
    layered = {task: found for task, found in posteriors.items() if isinstance(found, Kronecker)}
    return _share(layered) if layered else dict(posteriors)


def _share(posteriors: Mapping[str, Kronecker]) -> dict[str, Posterior]:
    factors: dict[str, dict[str, KroneckerFactors]] = {task: {} for task in posteriors}
    for layer in next(iter(posteriors.values())).factors:
        terms = [posterior.factors[layer] for posterior in posteriors.values()]
        frame = common_frame(terms)
        for task, term in zip(posteriors, terms, strict=True):
            values = diagonal_in(frame, term).to(term.eigenvalues.dtype)
            bases = {"inputs": frame.inputs, "outputs": frame.outputs}
            kept = {name: None if basis is None else basis.to(values.dtype) for name, basis in bases.items()}
            factors[task][layer] = replace(term, eigenvalues=values, **kept)  # type: ignore[arg-type]
    return {task: Kronecker(posterior.mean, factors[task]) for task, posterior in posteriors.items()}


def common_frame(terms: Sequence[KroneckerFactors]) -> KroneckerFactors:
    """The common eigenbases: those of every term where they are the same, else of the average factors; float64."""
    inputs = _common([(term.inputs, term.eigenvalues.mean(0)) for term in terms])
    outputs = _common([(term.outputs, term.eigenvalues.mean(1)) for term in terms])
    return replace(terms[0], bias=None, inputs=inputs, outputs=outputs)


def seen_from(frame: KroneckerFactors, term: KroneckerFactors) -> KroneckerFactors:
    """The term as an operator on matrices that are already rotated into the frame."""
    inputs, outputs = _relative(frame.inputs, term.inputs), _relative(frame.outputs, term.outputs)
    return replace(term, bias=None, inputs=inputs, outputs=outputs, eigenvalues=term.eigenvalues.to(torch.float64))


def diagonal_in(frame: KroneckerFactors, term: KroneckerFactors) -> Tensor:
    """The diagonal of a term in the frame's bases, `[O, I]`, float64."""
    seen = seen_from(frame, term)
    values = seen.eigenvalues
    if seen.outputs is not None:
        values = seen.outputs.square() @ values
    return values if seen.inputs is None else values @ seen.inputs.square().T


def _common(factors: Sequence[tuple[Tensor | None, Tensor]]) -> Tensor | None:
    """The eigenbasis of `Σ_s U_s diag(λ_s) U_sᵀ / tr`, or the one basis that all terms have.

    Terms in the standard basis are left out beside others: a prior's are the same in every basis.
    """
    known = [(basis, values) for basis, values in factors if basis is not None]
    if not known:
        return None
    first = known[0][0]
    if all(basis is first or torch.equal(basis, first) for basis, _ in known):
        return first.to(torch.float64)
    total = torch.zeros(first.shape, dtype=torch.float64)
    for basis, values in known:
        own, spread = basis.to(torch.float64), values.to(torch.float64)
        total += (own * (spread / float(spread.sum() or 1.0))) @ own.T
    return torch.linalg.eigh(total)[1]


def _relative(frame: Tensor | None, basis: Tensor | None) -> Tensor | None:
    """`Fᵀ U`: a basis as seen from another; `None` where they are the same."""
    if frame is None or basis is None:
        own = frame.T if frame is not None else basis
        return None if own is None else own.to(torch.float64)
    seen = basis.to(torch.float64)
    return None if torch.equal(seen, frame) else frame.T @ seen
