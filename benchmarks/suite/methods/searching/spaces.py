"""The two families of merges that are searched, and what the default posterior predicts of their losses.

    coefficients  θ_0 + Σ_t c_t (θ_t - θ_0), 0 <= c <= 1: task arithmetic, as in MAP
    weights       the posterior merge at α on the simplex, by the default posterior

Shapes: `K` points, `T` tasks (and coordinates), `B` directions of a subspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from benchmarks.suite.methods.fits import fit_once
from benchmarks.suite.setting import Setting
from paretomerge import FitSubspace
from paretomerge.curvature import Curvatures
from paretomerge.fronts.methods import PredictedLosses
from paretomerge.merging import PosteriorMerge, TaskArithmetic, collect_inputs
from paretomerge.posteriors import Subspace
from paretomerge.stages.fitting.previews import coordinates_loss, merge_each
from paretomerge.surrogates import Quadratics
from paretomerge.types import Box, Domain, Ledger, Params, Simplex

SpaceName = Literal["coefficients", "weights"]


@dataclass(frozen=True, eq=False)
class Space:
    """Merges at the points of a domain.

    Args:
        name: which family.
        domain: where points are.
        models: points `[K, T]` → merged parameters, one after the other, not yet finished as the setting wants them.
        predicted_losses: points `[K, T]` → losses `[K, T]` by the posteriors; `None` where none was fitted.
        cost: of the posteriors, where merging or predicting needs them.
        saved: core-seconds of that cost that an earlier method has spent.
    """

    name: SpaceName
    domain: Domain
    models: Callable[[np.ndarray], Iterator[Params]]
    predicted_losses: PredictedLosses | None
    cost: Ledger
    saved: float


def space_of(setting: Setting, name: SpaceName, predicted: bool) -> Space:
    """A family of merges of the setting's finetunes.

    Args:
        setting: whose finetunes.
        name: which family.
        predicted: whether posteriors say what they expect; over coefficients nothing is fitted otherwise.
    """
    domain = domain_of(name, setting.tasks)
    if name == "coefficients" and not predicted:
        return Space(name, domain, coefficient_models(setting), None, Ledger(), 0.0)
    fitted = fit_once(setting, FitSubspace(), keep=True)
    curvatures, saved = fitted.curvatures, fitted.core_seconds
    if name == "coefficients":
        quadratics = coefficient_losses(curvatures, setting.tasks)
        return Space(name, domain, coefficient_models(setting), quadratics, curvatures.ledger, saved)
    damping = curvatures.method.damping
    inputs = collect_inputs(curvatures.posteriors(damping), base=fitted.base)

    def models(points: np.ndarray) -> Iterator[Params]:
        return merge_each(inputs, PosteriorMerge(), damping, points)

    def losses(points: np.ndarray) -> np.ndarray:
        return coordinates_loss(curvatures, damping, points)

    return Space(name, domain, models, losses if predicted else None, curvatures.ledger, saved)


def coefficient_models(setting: Setting) -> Callable[[np.ndarray], Iterator[Params]]:
    """`c [K, T]` → `θ_0 + Σ_t c_t (θ_t - θ_0)`."""
    inputs = collect_inputs(setting.finetunes, base=setting.base)
    return lambda points: merge_each(inputs, TaskArithmetic(), 1.0, points)


def coefficient_losses(curvatures: Curvatures, tasks: tuple[str, ...]) -> Quadratics:
    """What subspace posteriors predict of task arithmetic: their quadratics along whole task vectors.

    A coefficient moves the task's vector in all groups alike, `x = S c` with `S [B, T]`; directions that are no task
    vectors stay at zero. As `paretomerge front` does over coefficients.
    """
    frame = next(iter(curvatures.bare.values()))
    assert isinstance(frame, Subspace)
    spread = np.zeros((len(frame.basis), len(tasks)))
    for row, label in enumerate(frame.basis.labels):
        if label.kind == "task_vector":
            spread[row, tasks.index(label.task)] = 1.0
    losses = list(curvatures.losses.values())
    naturals = [loss.curvature.natural("coordinates") for loss in losses]  # type: ignore[union-attr]
    return Quadratics(
        np.stack([spread.T @ plain(natural.precision) @ spread for natural in naturals]),
        np.stack([-(spread.T @ plain(natural.precision_mean)) for natural in naturals]),
        np.array([loss.offset for loss in losses]),
    )


def domain_of(name: SpaceName, tasks: tuple[str, ...]) -> Domain:
    """Where the points of a family are."""
    return Box(tasks) if name == "coefficients" else Simplex(tasks)


def plain(tensor: torch.Tensor) -> np.ndarray:
    """As float64."""
    return tensor.double().numpy()


def shares(point: np.ndarray) -> np.ndarray:
    """Weights on the simplex that belong to a point: coefficients divided by their sum; equal ones at the base.

    >>> shares(np.array([0.5, 1.0, 0.5])).tolist()
    [0.25, 0.5, 0.25]
    """
    total = point.sum()
    return point / total if total > 0 else np.full(len(point), 1 / len(point))
