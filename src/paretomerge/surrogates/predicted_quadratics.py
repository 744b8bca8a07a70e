"""Predicted losses that are quadratics, known as such: their front needs no search.

Shapes: `K` points, `D` coordinates, `T` tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Quadratics:
    """`q_t(c) = ½ cᵀA_t c + b_tᵀc + e_t`, as a function of points: what posteriors predict of losses in coefficients.

    Args:
        curvatures: `A [T, D, D]`, symmetric.
        gradients: `b [T, D]`, at `c = 0`.
        constants: `e [T]`, the values at `c = 0`.
    """

    curvatures: np.ndarray
    gradients: np.ndarray
    constants: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """`[K, T]` at points `[K, D]`."""
        points = np.asarray(points, dtype=np.float64)
        bent = 0.5 * np.einsum("kd,tde,ke->kt", points, self.curvatures, points, optimize=True)
        return bent + points @ self.gradients.T + self.constants
