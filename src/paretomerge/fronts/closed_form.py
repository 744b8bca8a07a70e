"""The whole Pareto set of strictly convex quadratics, with no search.

For `q_n(c) = ½ cᵀA_n c + b_nᵀc + e_n` with every `A_n > 0`, a point is Pareto-optimal exactly when it minimises
some weighted sum, so the Pareto set is

    { -(Σ_n w_n A_n)^-1 Σ_n w_n b_n  :  w on the simplex }

(weighted sums reach every Pareto-optimal point of convex objectives: Miettinen, 1999, Nonlinear
Multiobjective Optimization, 3.1). Strictly increasing links `M_n = g_n(q_n)` do not change which point is
better in an objective, so the set is the same. In a box the minimiser of each weighting is a bounded quadratic
program.

Shapes: `K` weightings, `M` objectives, `D` coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError, FailureError, PosteriorError

Increasing = Callable[[np.ndarray], np.ndarray]
Box = tuple[np.ndarray, np.ndarray]


def closed_form_front(
    curvatures: ArrayLike,
    gradients: ArrayLike,
    constants: ArrayLike,
    weights: ArrayLike,
    *,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    links: Sequence[Increasing | None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The minimiser `[K, D]` of each weighted sum of the quadratics, and the values `[K, M]` there.

    Everything is minimised. Each point is Pareto-optimal, because it is the only minimiser of a weighted sum;
    that all of the Pareto set can be reached needs every `A_n` to be positive semi-definite.

    Args:
        curvatures: `A [M, D, D]`, symmetric.
        gradients: `b [M, D]`, the gradients at `c = 0`.
        constants: `e [M]`, the values at `c = 0`.
        weights: `w [K, M] >= 0`, for example `simplex_grid(M, 10)`.
        bounds: `(lower, upper)`, each a number or `[D]`, infinite where there is none.
        links: per objective a strictly increasing function of its values (such as `surrogates.Link.value`), or
            `None` for the identity.

    Raises:
        DataError: shapes that disagree, values that are not finite, a negative weight, an empty box, or a link
            that decreases.
        PosteriorError: a weighted curvature that is not positive definite; the message says which.

    >>> A = np.array([np.eye(1), np.eye(1)])
    >>> points, values = closed_form_front(A, [[0.0], [-1.0]], [0.0, 0.5], [[1, 0], [0.5, 0.5], [0, 1]])
    >>> (points[:, 0] + 0.0).tolist(), values[1].tolist()
    ([0.0, 0.5, 1.0], [0.125, 0.125])
    """
    A, b, e, w = _checked(curvatures, gradients, constants, weights)
    box = None if bounds is None else _checked_box(bounds, A.shape[-1])
    points = np.empty((len(w), A.shape[-1]))
    for k, weighting in enumerate(w):
        factor, scale = _factor(np.tensordot(weighting, A, axes=1), weighting, k)
        points[k] = _minimiser(factor, scale, weighting @ b, box)
    values = 0.5 * np.einsum("kd,mde,ke->km", points, A, points) + points @ b.T + e
    return points, values if links is None else _linked(values, links)


def _factor(curvature: np.ndarray, weighting: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """`L` and `s` with `diag(s) A diag(s) = L Lᵀ` and a unit diagonal, so that units cannot hide singularity."""
    diagonal = curvature.diagonal()
    singular = bool((diagonal <= 0).any())
    if not singular:
        scale = 1.0 / np.sqrt(diagonal)
        try:
            factor = np.linalg.cholesky(curvature * scale[:, None] * scale)
            # A squared pivot is the part of a coefficient that the others do not explain: below rounding, none.
            singular = factor.diagonal().min() ** 2 <= 10 * len(diagonal) * np.finfo(np.float64).eps
        except np.linalg.LinAlgError:
            singular = True
    if singular:
        raise PosteriorError(
            f"the weighted curvature of weighting {number} ({', '.join(f'{w:.4g}' for w in weighting)}) is not "
            f"positive definite (smallest eigenvalue {np.linalg.eigvalsh(curvature)[0]:.3g}): the objectives say "
            "nothing about some direction, or are not convex; add a ridge to the curvatures, or leave out "
            "weightings with zero weight on the objectives that know that direction"
        )
    return factor, scale


def _minimiser(factor: np.ndarray, scale: np.ndarray, gradient: np.ndarray, box: Box | None) -> np.ndarray:
    """`argmin ½ cᵀAc + gᵀc` in the box, with `c = s u`: least squares `‖Lᵀu + L^-1 (s g)‖²`."""
    from scipy.linalg import solve_triangular  # slow to import, and few verbs need it
    from scipy.optimize import lsq_linear

    target = -solve_triangular(factor, scale * gradient, lower=True)
    free = scale * solve_triangular(factor, target, lower=True, trans="T")
    if box is None:
        return free
    lower, upper = box
    if ((free >= lower) & (free <= upper)).all():
        return free
    result = lsq_linear(
        factor.T,
        target,
        bounds=(lower / scale, upper / scale),
        method="bvls",
        tol=1e-14,
        max_iter=100 + 10 * len(free),
    )
    if not np.isfinite(result.x).all() or result.status == 0:
        raise FailureError(
            f"the bounded quadratic program did not converge ({result.message.strip()}): widen the box or add a "
            "ridge to the curvatures"
        )
    # A coefficient on a bound is exactly there, not a rounding error away.
    point = np.where(result.active_mask < 0, lower, np.where(result.active_mask > 0, upper, scale * result.x))
    return np.clip(point, lower, upper)


def _checked(
    curvatures: ArrayLike, gradients: ArrayLike, constants: ArrayLike, weights: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    try:
        A, b, e, w = (np.array(part, dtype=np.float64) for part in (curvatures, gradients, constants, weights))
    except (TypeError, ValueError) as error:
        raise DataError(f"curvatures, gradients, constants and weights must be arrays of numbers: {error}") from error
    if A.ndim != 3 or A.shape[1] != A.shape[2] or not A.size:
        raise DataError(f"curvatures have shape {list(A.shape)}, expected [objectives, D, D]")
    objectives, size = A.shape[:2]
    expected = (("gradients", b, [objectives, size]), ("constants", e, [objectives]))
    for what, array, shape in expected:
        if list(array.shape) != shape:
            raise DataError(f"{what} have shape {list(array.shape)}, expected {shape} as the curvatures say")
    if w.ndim != 2 or w.shape[1] != objectives:
        raise DataError(f"weights have shape {list(w.shape)}, expected [weightings, {objectives} objectives]")
    for what, array in (("curvatures", A), ("gradients", b), ("constants", e), ("weights", w)):
        if not np.isfinite(array).all():
            raise DataError(f"{what} contain NaN or infinity")
    if (w < 0).any():
        raise DataError(f"weights are negative (weighting {int(np.argwhere(w < 0)[0][0])}): they must be >= 0")
    gap = np.abs(A - A.transpose(0, 2, 1)).max(axis=(1, 2))
    crooked = np.flatnonzero(gap > 1e-8 * np.abs(A).max(axis=(1, 2)))
    if len(crooked):
        raise DataError(
            f"curvature {int(crooked[0])} is not symmetric (largest gap {gap[crooked[0]]:.3g}): give (A + Aᵀ) / 2"
        )
    return (A + A.transpose(0, 2, 1)) / 2, b, e, w


def _checked_box(bounds: tuple[ArrayLike, ArrayLike], size: int) -> Box:
    try:
        lower, upper = (np.broadcast_to(np.asarray(side, dtype=np.float64), (size,)) for side in bounds)
    except (TypeError, ValueError) as error:
        raise DataError(f"bounds must be (lower, upper), each a number or [{size}] numbers") from error
    if not (lower < upper).all():
        worst = int(np.flatnonzero(~(lower < upper))[0])
        raise DataError(
            f"the box is empty: coefficient {worst} has lower bound {lower[worst]:.6g} and upper bound "
            f"{upper[worst]:.6g}, expected lower < upper"
        )
    return lower, upper


def _linked(values: np.ndarray, links: Sequence[Increasing | None]) -> np.ndarray:
    if len(links) != values.shape[1]:
        raise DataError(f"{len(links)} links for {values.shape[1]} objectives: give one each, or None")
    linked = values.copy()
    for n, link in enumerate(links):
        if link is None:
            continue
        column = np.asarray(link(values[:, n]), dtype=np.float64)
        if column.shape != values[:, n].shape or not np.isfinite(column).all():
            raise DataError(f"link {n} does not return one finite number per value")
        # Equal neighbours are allowed: a bounded link saturates in float64.
        if (np.diff(column[np.argsort(values[:, n])]) < 0).any():
            raise DataError(f"link {n} decreases: a link must be strictly increasing (negate the objective instead)")
        linked[:, n] = column
    return linked
