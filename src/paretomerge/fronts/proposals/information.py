"""How much an evaluation would tell about the predicted front.

What is recommended are points of the *predicted* front, so an evaluation is worth what it teaches about all of them,
not only what it finds itself. Observing a candidate reduces the variances along the front, summed over its points
(active learning after Cohn, Ghahramani & Jordan, 1996, Active learning with statistical models), by

    Σ_m Σ_p cov_m(p, x)² / (var_m(x) + noise_m),

with covariances from joint draws. The draws are then conditioned on the observation, whatever its value will be, by the
ensemble square root filter (Whitaker & Hamill, 2002, Ensemble data assimilation without perturbed observations).

Everything is scaled. Shapes: `S` draws, `P` points of the front, `K` candidates, `M` objectives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class InformationCriterion:
    """By how much one more observation reduces the variance along the front.

    Attributes:
        front: deviations of the draws from their mean `[S, P, M]`.
        candidates: the same at the candidates `[S, K, M]`.
        noise: variances of an observation `[M]`.
    """

    front: np.ndarray
    candidates: np.ndarray
    noise: np.ndarray

    @classmethod
    def of(cls, front: np.ndarray, candidates: np.ndarray, noise: np.ndarray) -> InformationCriterion:
        """From draws, which must be finite."""
        return cls(front - front.mean(axis=0), candidates - candidates.mean(axis=0), noise)

    def gains(self) -> np.ndarray:
        """`[K]`: the reduction by observing each of the candidates alone."""
        gains = np.zeros(self.candidates.shape[1])
        for m, noise in enumerate(self.noise):
            front, candidates = self.front[:, :, m], self.candidates[:, :, m]
            covariance = front.T @ candidates / len(front)
            variance = np.mean(candidates**2, axis=0) + noise
            gains += (covariance**2).sum(axis=0) / np.where(variance > 0, variance, 1.0)
        return gains

    def after(self, observed: np.ndarray) -> InformationCriterion:
        """After observing a point at which the deviations are `[S, M]`."""
        return InformationCriterion(
            self._conditioned(self.front, observed), self._conditioned(self.candidates, observed), self.noise
        )

    def _conditioned(self, deviations: np.ndarray, observed: np.ndarray) -> np.ndarray:
        variance = np.mean(observed**2, axis=0)
        total = np.where(variance + self.noise > 0, variance + self.noise, 1.0)
        gain = np.einsum("spm,sm->pm", deviations, observed) / len(observed) / total
        # Leaves exactly the variance that the observation leaves: v - c²/(v + n).
        share = 1.0 / (1.0 + np.sqrt(self.noise / total))
        return deviations - share * gain * observed[:, None, :]
