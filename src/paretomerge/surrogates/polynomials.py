"""Polynomials of second degree on a domain, and their quadratic forms.

Shapes: `K` points, `D` coordinates, `F` features.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from paretomerge.surrogates.residual import unit_coordinates
from paretomerge.types import Domain, Simplex

_LINEAR = 8.0


def quadratic_count(domain: Domain) -> int:
    """Coefficients of a quadratic: `T(T+1)/2` on the simplex, `(D+1)(D+2)/2` elsewhere."""
    size = len(domain.names)
    return size * (size + 1) // 2 if isinstance(domain, Simplex) else (size + 1) * (size + 2) // 2


def quadratic_features(points: np.ndarray, domain: Domain) -> np.ndarray:
    """`[K, F]`: on the simplex the weights, then their products; in a box one, `z`, squares, then products.

    On the simplex the constant and the squares are redundant (Scheffé, 1958, Experiments with mixtures). In a box
    `z` are the coordinates scaled to `[-1, 1]`.
    """
    pairs = list(combinations(range(points.shape[1]), 2))
    if isinstance(domain, Simplex):
        return np.concatenate([points, *(points[:, [i]] * points[:, [j]] for i, j in pairs)], axis=1)
    z = 2 * unit_coordinates(points, domain) - 1
    products = [z[:, [i]] * z[:, [j]] for i, j in pairs]
    return np.concatenate([np.ones((len(z), 1)), z, z**2, *products], axis=1)


def feature_pairs(domain: Domain) -> list[tuple[int, int] | None]:
    """`[F]`, the two coordinates that each of `quadratic_features` multiplies; `None` where it multiplies none."""
    size = len(domain.names)
    squares = [] if isinstance(domain, Simplex) else [None, *((i, i) for i in range(size))]
    return [*[None] * size, *squares, *combinations(range(size), 2)]


def quadratic_form(coefficients: np.ndarray, domain: Domain) -> tuple[np.ndarray, np.ndarray, float]:
    """`A [D, D]`, `b [D]`, `e` with `½ xᵀA x + bᵀx + e` = features · coefficients."""
    size = len(domain.names)
    pairs = list(combinations(range(size), 2))
    bend = np.zeros((size, size))
    if isinstance(domain, Simplex):
        for (i, j), value in zip(pairs, coefficients[size:], strict=True):
            bend[i, j] = bend[j, i] = value
        return bend, coefficients[:size].copy(), 0.0
    linear = coefficients[1 : 1 + size]
    bend[np.diag_indices(size)] = 2 * coefficients[1 + size : 1 + 2 * size]
    for (i, j), value in zip(pairs, coefficients[1 + 2 * size :], strict=True):
        bend[i, j] = bend[j, i] = value
    # x → z = (x - middle) · scale, from two points, so that any domain's own scaling holds.
    zero, one = unit_coordinates(np.zeros((1, size)), domain)[0], unit_coordinates(np.ones((1, size)), domain)[0]
    scale, shift = 2 * (one - zero), 2 * zero - 1
    A = bend * scale[:, None] * scale
    b = scale * (linear + bend @ shift)
    return A, b, float(coefficients[0] + linear @ shift + 0.5 * shift @ bend @ shift)


def correcting_features(points: np.ndarray, domain: Domain) -> np.ndarray:
    """`[K, F]`: linear and quadratic polynomials without a constant, of about unit variance over the domain.

    For a prior that knows of no direction: Legendre polynomials in a box, centred ones on the simplex.
    """
    size = points.shape[1]
    if isinstance(domain, Simplex):
        # Standard deviation of a coordinate that is uniform on the simplex: Dirichlet(1, …, 1).
        z = (points - 1 / size) * size * ((size + 1) / max(size - 1, 1)) ** 0.5
    else:
        z = (2 * unit_coordinates(points, domain) - 1) * 3**0.5
    products = [z[:, [i]] * z[:, [j]] for i, j in combinations(range(size), 2)]
    return np.concatenate([_LINEAR * z, (z**2 - 1) / (4 / 5) ** 0.5, *products], axis=1)
