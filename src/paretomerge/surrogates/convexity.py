"""Penalised least squares through a link whose quadratic part is kept convex.

    minimise  ½ ‖(y - g(Φβ)) / σ‖² + ½ ‖(β - β_0) / s‖²     subject to     C(β) = ± Σ_f β_f H_f ⪰ floor · I,

where `H_f` is the Hessian of feature `f` along the domain. It is solved by an interior-point method: minus `μ` times
`log det(C - floor · I)` is added, and `μ` is lowered towards zero along the path of minimisers (Vandenberghe & Boyd,
1996, Semidefinite programming). Every step is one linear least-squares problem, solved by orthogonal factors: the
barrier's Hessian is `BᵀB` with rows `B_f = L^-1 H_f L^-T`, `LLᵀ = C - floor · I`, and its gradient `-μ Bᵀ vec(I)`.

Shapes: `N` scores, `F` features, `D` coordinates, `P` directions along the domain (`D` in a box, `D - 1` on the
simplex).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates.links import Link

_STEPS = 60
_LOWERING = 0.05
_SINGULAR = 1e-12
"""How close to singular the curvature is taken, relative to its largest eigenvalue."""


@dataclass(frozen=True, eq=False)
class ConvexFit:
    """What `fit_convex` found.

    Attributes:
        coefficients: `β [F]`.
        curvature: `C(β) [P, P]`, positive semi-definite.
        multiplier: `Z [P, P]`, positive semi-definite: how hard the constraint pushes, in nats per unit of curvature.
            Zero where the free fit is convex. At the solution the gradient of the penalised squares with respect to
            `β_f` is `± tr(Z H_f)`, and `tr(Z (C - floor · I))` is the remaining gap, `P μ`.
        root: `R [F, F]` with `RᵀR` the Gauss-Newton precision of `β / s`, the constraint left out.
    """

    coefficients: np.ndarray
    curvature: np.ndarray
    multiplier: np.ndarray
    root: np.ndarray


def feature_hessians(
    pairs: Sequence[tuple[int, int] | None], dimension: int, tangent: np.ndarray | None = None
) -> np.ndarray:
    """`H [F, P, P]`: the constant Hessian of each feature along the domain.

    Args:
        pairs: per feature, `(i, j)` for `x_i x_j` (squares are `(i, i)`), `None` for a constant or a coordinate.
        dimension: `D`.
        tangent: `[D, P]`, an orthonormal basis of the directions along the domain; all `D` when not given.

    >>> feature_hessians([None, (0, 1), (0, 0)], 2).tolist()[1:]
    [[[0.0, 1.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 0.0]]]
    """
    hessians = np.zeros((len(pairs), dimension, dimension))
    for feature, pair in enumerate(pairs):
        if pair is not None:
            hessians[feature, pair[0], pair[1]] += 1.0
            hessians[feature, pair[1], pair[0]] += 1.0
    return hessians if tangent is None else tangent.T @ hessians @ tangent


def simplex_tangent(tasks: int) -> np.ndarray:
    """`[T, T - 1]`: an orthonormal basis of the directions that keep the sum of the weights."""
    # Helmert's contrasts: each coordinate against the mean of those before it.
    columns = [np.concatenate([np.full(k, 1.0), [-k], np.zeros(tasks - k - 1)]) for k in range(1, tasks)]
    return np.stack([c / np.linalg.norm(c) for c in columns], axis=1) if columns else np.zeros((tasks, 0))


def fit_convex(
    features: np.ndarray,
    values: np.ndarray,
    noise: np.ndarray,
    link: Link,
    prior_mean: np.ndarray,
    prior_variance: np.ndarray,
    hessians: np.ndarray,
    sign: float = 1.0,
    *,
    floor: float = 0.0,
    start: np.ndarray | None = None,
    gap: float = 1e-8,
) -> ConvexFit:
    """The penalised fit whose quadratic part, times `sign`, is convex along the domain.

    The free fit is returned when it is convex by itself.

    Args:
        features: `Φ [N, F]`.
        values: `y [N]`.
        noise: `σ² [N]`, variances of the residuals; or their covariance `[N, N]`, positive definite.
        link: `g`, strictly increasing.
        prior_mean: `β_0 [F]`.
        prior_variance: `s² [F]`, diagonal.
        hessians: `H [F, P, P]`, see `feature_hessians`; they must span the symmetric matrices.
        sign: `Objective.sign`: `+1` makes the quadratic convex (minimised), `-1` concave (maximised).
        floor: the smallest eigenvalue that the curvature may have, in the units of the linked scores.
        start: `β [F]` to begin at, such as an earlier fit; linked least squares when not given.
        gap: how far the penalised squares may stay above their minimum, in nats. More is left where noise is so
            small that the curvature could not be told from a singular one before.

    Raises:
        DataError: numbers that are not finite, variances that are not positive, Hessians that do not match the
            features, or that cannot make the curvature positive definite.
    """
    if hessians.ndim != 3 or hessians.shape[0] != features.shape[1] or hessians.shape[1] != hessians.shape[2]:
        raise DataError(
            f"Hessians have shape {list(hessians.shape)} for {features.shape[1]} features, expected [features, P, P]"
        )
    if not all(np.isfinite(array).all() for array in (features, values, prior_mean, prior_variance)):
        raise DataError("features, values or the prior of a convex fit contain NaN or infinity")
    if not np.min(prior_variance) > 0:
        raise DataError("prior variances of a convex fit must be positive: leave out features that are known")
    scale = np.sqrt(np.asarray(prior_variance, dtype=np.float64))
    problem = _Penalised(features, values, _whitener(noise), link, prior_mean, scale, sign * hessians, floor)
    beta = problem.linked_start() if start is None else np.array(start, dtype=np.float64)
    beta, size = problem.minimise(beta, 0.0), hessians.shape[1]
    barred = problem.curvature(beta)
    if not size or np.linalg.eigvalsh(barred)[0] >= 0:
        return problem.fit(beta, np.zeros((size, size)))
    beta = problem.made_convex(beta, barred)
    strength = max(problem.squares(beta), 1.0) / size
    while strength > gap / size:
        strength = max(strength * _LOWERING, gap / size)
        beta = problem.minimise(beta, strength)
        eigenvalues = np.linalg.eigvalsh(problem.curvature(beta))
        if eigenvalues[0] < _SINGULAR * eigenvalues[-1]:
            break
    return problem.fit(beta, problem.multiplier(beta, strength))


@dataclass(frozen=True, eq=False)
class _Penalised:
    """The penalised squares and the barrier, as residuals whose Jacobian is linear algebra."""

    features: np.ndarray
    values: np.ndarray
    whitener: np.ndarray
    link: Link
    prior_mean: np.ndarray
    scale: np.ndarray
    hessians: np.ndarray
    floor: float

    def curvature(self, beta: np.ndarray) -> np.ndarray:
        """`C(β) - floor · I`."""
        return np.tensordot(beta, self.hessians, axes=1) - self.floor * np.eye(self.hessians.shape[1])

    def white(self, rows: np.ndarray) -> np.ndarray:
        """Rows `[N, …]` in units of the noise."""
        if self.whitener.ndim == 2:
            return self.whitener @ rows
        return self.whitener.reshape(-1, *[1] * (rows.ndim - 1)) * rows

    def residuals(self, beta: np.ndarray) -> np.ndarray:
        """`[N + F]`."""
        errors = self.white(self.values - self.link.value(self.features @ beta))
        return np.concatenate([errors, (self.prior_mean - beta) / self.scale])

    def jacobian(self, beta: np.ndarray) -> np.ndarray:
        """`[N + F, F]` of the predictions, with respect to `β / s`."""
        slope = self.link.slope(self.features @ beta)
        return np.concatenate([self.white(self.features * slope[:, None] * self.scale), np.eye(len(beta))])

    def squares(self, beta: np.ndarray) -> float:
        """Half the sum of squares, in nats."""
        return 0.5 * float(np.sum(self.residuals(beta) ** 2))

    def value(self, beta: np.ndarray, strength: float) -> float:
        """The squares and the barrier; infinite outside."""
        if not strength:
            return self.squares(beta)
        try:
            factor = np.linalg.cholesky(self.curvature(beta))
        except np.linalg.LinAlgError:
            return np.inf
        return self.squares(beta) - 2 * strength * float(np.sum(np.log(factor.diagonal())))

    def barrier(self, beta: np.ndarray) -> np.ndarray:
        """`B [P², F]`: the relative change of the curvature with `β / s`."""
        inverse = np.linalg.inv(np.linalg.cholesky(self.curvature(beta)))
        return (inverse @ self.hessians @ inverse.T).reshape(len(beta), -1).T * self.scale

    def step(self, beta: np.ndarray, strength: float) -> tuple[np.ndarray, float, float]:
        """A Gauss-Newton step in `β / s`, by how much it should lower the value, and how far it changes the curvature.

        The change is relative: less than one stays inside the barrier.
        """
        rows, target = self.jacobian(beta), self.residuals(beta)
        barrier = self.barrier(beta) if strength else np.zeros((0, len(beta)))
        identity = np.eye(self.hessians.shape[1]).ravel()[: len(barrier)]
        rows = np.concatenate([rows, strength**0.5 * barrier])
        target = np.concatenate([target, strength**0.5 * identity])
        basis, root = np.linalg.qr(rows)
        projected = basis.T @ target
        step = np.linalg.solve(root, projected)
        return step, 0.5 * float(projected @ projected), float(np.linalg.norm(barrier @ step))

    def minimise(self, beta: np.ndarray, strength: float) -> np.ndarray:
        """Damped Gauss-Newton from an interior point."""
        for _ in range(_STEPS):
            current = self.value(beta, strength)
            step, promised, change = self.step(beta, strength)
            if promised <= (1e-6 * strength if strength else 1e-14 * (1 + current)):
                break
            # Differences that rounding hides cannot be searched along a line; close to the path full steps converge.
            if strength and change < 0.5 and promised < 1e-9 * (1 + abs(current)):
                beta = beta + self.scale * step
                continue
            size = 1.0
            while size > 1e-8 and not self.value(beta + size * self.scale * step, strength) <= (
                current - 0.1 * size * promised
            ):
                size /= 2
            if size <= 1e-8:
                break
            beta = beta + size * self.scale * step
        return beta

    def multiplier(self, beta: np.ndarray, strength: float) -> np.ndarray:
        """`μ (C - floor · I)^-1`, corrected to first order for the step that is left to the path."""
        inverse = np.linalg.inv(np.linalg.cholesky(self.curvature(beta)))
        change = (self.barrier(beta) @ self.step(beta, strength)[0]).reshape(inverse.shape)
        return strength * inverse.T @ (np.eye(len(inverse)) - change) @ inverse

    def linked_start(self) -> np.ndarray:
        """Ridge regression of the linked scores, which saturated links need."""
        if not len(self.values):
            return np.array(self.prior_mean, dtype=np.float64)
        target = self.link.inverse(self.values) - self.features @ self.prior_mean
        rows = np.concatenate([self.features * self.scale, 0.03 * (np.std(target) + 1e-6) * np.eye(len(self.scale))])
        solved = np.linalg.lstsq(rows, np.concatenate([target, np.zeros(len(self.scale))]), rcond=None)[0]
        return self.prior_mean + self.scale * solved

    def made_convex(self, beta: np.ndarray, curvature: np.ndarray) -> np.ndarray:
        """The nearest coefficients, in units of the prior, whose curvature has its small eigenvalues raised."""
        values, vectors = np.linalg.eigh(curvature)
        raised = np.maximum(values, 0.05 * max(np.abs(values).max(), 1e-6))
        missing = (vectors * (raised - values)) @ vectors.T
        maps = (self.hessians * self.scale[:, None, None]).reshape(len(beta), -1).T
        moved = beta + self.scale * np.linalg.lstsq(maps, missing.ravel(), rcond=None)[0]
        if np.linalg.eigvalsh(self.curvature(moved))[0] <= 0:
            raise DataError(
                "no coefficients make the curvature positive definite: the features need every square and product "
                "of coordinates along the domain"
            )
        return moved

    def fit(self, beta: np.ndarray, multiplier: np.ndarray) -> ConvexFit:
        """The result at `β`."""
        _, root = np.linalg.qr(self.jacobian(beta))
        curvature = np.tensordot(beta, self.hessians, axes=1)
        return ConvexFit(beta, curvature, multiplier, root)


def _whitener(noise: np.ndarray) -> np.ndarray:
    """`1/σ [N]`, or `L^-1 [N, N]` with `LLᵀ` the covariance."""
    noise = np.asarray(noise, dtype=np.float64)
    try:
        if noise.ndim == 2:
            return np.linalg.inv(np.linalg.cholesky(noise))
    except np.linalg.LinAlgError as error:
        raise DataError(
            "the covariance of the noise is not positive definite: add each score's own variance"
        ) from error
    if not (np.isfinite(noise) & (noise > 0)).all():
        raise DataError("noise variances of a convex fit must be positive and finite: exact scores need a small one")
    return 1 / np.sqrt(noise)
