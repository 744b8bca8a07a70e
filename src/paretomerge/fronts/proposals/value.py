"""What a batch of evaluations is expected to add to the front that is recommended afterwards.

A draw of the surrogate plays the truth: its scores at the batch, with noise, move the predicted means. In each
direction of the objective space the best point by the moved means then replaces the best by the present ones, and the
moved means say what both are worth: the knowledge gradient of the batch (Frazier, Powell & Dayanik, 2009, The
knowledge-gradient policy for correlated normal beliefs). Directions add up to the hypervolume,

    HV(Y) ∝ E_λ [ max_y min_m ( (r_m - y_m) / λ_m )₊^M ],     λ uniform on the positive part of the sphere

(Deng & Zhang, 2019, Approximating hypervolume and hypervolume contributions using polar coordinates). Because both
fronts are picked from the same points, points that only fill gaps of the front count for nothing.

Everything is minimised and scaled. Shapes: `S` draws, `N` points, `M` traded objectives, `C` constraints, `L`
directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretomerge.fronts.proposals.information import InformationCriterion

TRUTHS = 64
DIRECTIONS = 128


def expected_gain(
    draws: np.ndarray, batch: Sequence[int], noise: np.ndarray, reference: np.ndarray, seed: int
) -> float:
    """The expected relative gain in hypervolume by evaluating some of the points.

    Args:
        draws: `[S, N, M + C]`, the traded objectives and then violations, of which feasible points have none above 0.
        batch: numbers of the points that are evaluated.
        noise: variances `[M + C]` of an evaluation.
        reference: `[M]`.
        seed: of directions and noise.
    """
    rng = np.random.default_rng([seed, 3])
    directions = np.abs(rng.standard_normal((DIRECTIONS, len(reference)))) + 1e-9
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    mean, means = draws.mean(axis=0), _moved_means(draws, batch, noise, rng)
    before = _worth(mean, reference, directions).argmax(axis=0)
    present = then = 0.0
    for moved in means:
        worth = _worth(moved, reference, directions)
        present += float(worth[before, np.arange(DIRECTIONS)].sum())
        then += float(worth.max(axis=0).sum())
    if then <= 0:
        return 0.0
    return then / present - 1.0 if present > 0 else 1.0


def _moved_means(draws: np.ndarray, batch: Sequence[int], noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`[TRUTHS, N, M + C]`: the means after the batch, where each of the first draws is the truth."""
    truths = draws[:TRUTHS]
    means = np.repeat(draws.mean(axis=0)[None], len(truths), axis=0)
    belief = InformationCriterion.of(draws[:, :0], draws, noise)
    for number in batch:
        observed = belief.candidates[:, number]
        total = np.mean(observed**2, axis=0) + noise
        gain = np.einsum("snm,sm->nm", belief.candidates, observed) / len(observed) / np.where(total > 0, total, 1.0)
        seen = truths[:, number] + np.sqrt(noise) * rng.standard_normal((len(truths), len(noise)))
        means = means + gain * (seen - means[:, number])[:, None, :]
        belief = belief.after(observed)
    return means


def _worth(means: np.ndarray, reference: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """`[N, L]`: how far each point reaches in each direction, to the power `M`; zero where it is not feasible."""
    objectives = len(reference)
    reach = np.full((len(means), len(directions)), np.inf)
    for m in range(objectives):
        np.minimum(reach, (reference[m] - means[:, [m]]) / directions[:, m], out=reach)
    reach[(means[:, objectives:] > 0).any(axis=1)] = 0.0
    return np.maximum(reach, 0.0) ** objectives
