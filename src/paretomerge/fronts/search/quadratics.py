"""The front of a surrogate that is quadratic up to its links: minimisers of weighted sums, with no search.

In a box each weighting is a bounded quadratic program (`closed_form_front`), on the simplex a non-negative least
squares problem.

Shapes: `K` weightings, `M` objectives, `D` coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paretomerge.errors import PosteriorError
from paretomerge.fronts.closed_form import closed_form_front
from paretomerge.fronts.search.nsga3 import reference_directions
from paretomerge.surrogates import Fitted
from paretomerge.types import Box, Domain, Simplex

Coefficients = tuple[np.ndarray, np.ndarray, np.ndarray]
FLATTEST = 1e-9
_LIFTS = 8


def convex_quadratics(surrogate: Fitted, traded: Sequence[int]) -> Coefficients | None:
    """`(A [M, D, D], b [M, D], e [M])` of the traded objectives, minimised, in the space of their links; `None`
    unless the surrogate has them, every one is convex over the domain, and their sum strictly so.
    """
    quadratics: Any = getattr(surrogate, "quadratics", None)
    found = None if quadratics is None else quadratics()
    if found is None or not isinstance(surrogate.domain, Box | Simplex):
        return None
    A, b, e = (np.asarray(part, dtype=np.float64)[list(traded)] for part in found)
    curvatures = [_tangent(matrix, surrogate.domain) for matrix in A]
    size = max(np.abs(matrix).max(initial=0.0) for matrix in curvatures)
    if any(np.linalg.eigvalsh(matrix).min(initial=0.0) < -FLATTEST * size for matrix in curvatures):
        return None
    weakest = np.linalg.eigvalsh(sum(_unit(matrix) for matrix in curvatures)).min(initial=np.inf)
    return (A, b, e) if weakest > FLATTEST else None


def quadratic_points(quadratics: Coefficients, domain: Domain, count: int, seed: int = 0) -> np.ndarray:
    """About `count` Pareto-optimal points `[K, D]` of convex quadratics.

    Weightings are relative to each quadratic's range over the points that are best for a single one, so that they
    spread the points and not the units. All weights are positive, if barely, so that no point is only weakly optimal.

    Raises:
        PosteriorError: a weighted sum that is not strictly convex.
    """
    A, b, _ = quadratics
    objectives = len(A)
    unit = np.maximum(np.abs(A).max(axis=(1, 2)), np.abs(b).max(axis=1))
    unit[unit == 0] = 1.0
    A, b = A / unit[:, None, None], b / unit[:, None]
    best = _minimisers(A, b, _positive(np.eye(objectives)), domain)
    values = 0.5 * np.einsum("kd,mde,ke->km", best, A, best) + best @ b.T
    width = np.ptp(values, axis=0)
    scale = 1.0 / np.where(width > 0, width, 1.0)
    directions = reference_directions(objectives, max(count // 2, 1))
    names = tuple(str(n) for n in range(objectives))
    spread = Simplex(names).spread(max(count - len(directions), 0), seed)
    weights = _positive(np.concatenate([directions, spread])) * scale
    weights /= weights.sum(axis=1, keepdims=True)
    return np.concatenate([best, _minimisers(A, b, weights, domain)])


def _minimisers(A: np.ndarray, b: np.ndarray, weights: np.ndarray, domain: Domain) -> np.ndarray:
    if isinstance(domain, Box):
        return closed_form_front(A, b, np.zeros(len(A)), weights, bounds=domain.corners)[0]
    return np.stack([_on_simplex(np.tensordot(w, A, axes=1), w @ b) for w in weights])


def _on_simplex(A: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`argmin ½ αᵀAα + bᵀα` on the simplex, `A` positive definite along it, by non-negative least squares.

    There `1ᵀα = 1`, so the quadratic equals `½ αᵀCα` with `C = A + b1ᵀ + 1bᵀ + λ11ᵀ`, up to `λ/2`. The minimiser of
    `½ xᵀCx - 1ᵀx` over all `x >= 0`, divided by its sum, is that of `½ αᵀCα`: the best length of `x` is `1 / αᵀCα`.
    """
    from scipy.linalg import solve_triangular  # slow to import
    from scipy.optimize import nnls

    curvature = A + np.add.outer(b, b)
    lift = np.abs(curvature).max() or 1.0
    for _ in range(_LIFTS):
        try:
            factor = np.linalg.cholesky(curvature + lift)
        except np.linalg.LinAlgError:
            lift *= 10
            continue
        found, _ = nnls(factor.T, solve_triangular(factor, np.ones(len(b)), lower=True))
        return found / found.sum()
    raise PosteriorError(
        "a weighted sum of the quadratics is not strictly convex along the simplex: search with nsga3 instead"
    )


def _tangent(matrix: np.ndarray, domain: Domain) -> np.ndarray:
    """The curvature along the domain: all of it in a box, that of directions with zero sum on the simplex."""
    if isinstance(domain, Box):
        return matrix
    size = len(matrix)
    basis = np.linalg.qr(np.concatenate([np.ones((size, 1)), np.eye(size)[:, :-1]], axis=1))[0][:, 1:]
    return basis.T @ matrix @ basis


def _unit(matrix: np.ndarray) -> np.ndarray:
    return matrix / (np.abs(matrix).max(initial=0.0) or 1.0)


def _positive(weights: np.ndarray) -> np.ndarray:
    return 0.999999 * weights + 1e-6 / weights.shape[1]
