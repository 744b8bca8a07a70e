"""Where the merges of a run live: a domain, the models at its points, and what the posteriors predict of them.

    weights       α on the simplex: what the merge rule makes of the task weights
    coefficients  c in a box, one per task: θ_0 + Σ c_t δ_t, or what TIES, DARE, … make of them
    groups        c in a box, one per parameter group and task: θ_0 + Σ_g Σ_t c_gt δ_t|g

Shapes: `K` points, `D` coordinates of the domain, `T` tasks, `B` directions of a subspace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import torch
from torch import Tensor

from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.errors import RecipeError
from paretomerge.fronts.methods import PredictedLosses
from paretomerge.merging import FisherWeighted, PosteriorMerge, TaskArithmetic
from paretomerge.posteriors import Basis, Subspace, task_vector_basis
from paretomerge.runs import evaluation_key
from paretomerge.stages.fitting.fit import Fitted
from paretomerge.stages.measuring.in_place import GroupedInPlace, ModelMaker
from paretomerge.surrogates import Quadratics
from paretomerge.types import Box, Domain, Params, Simplex, grouped_box, simplex_grid

_GRID_POINTS = 150
"""At how many weightings predictions are computed where each takes a merge; in between they are interpolated."""


@dataclass(frozen=True, eq=False)
class Landscape:
    """A domain with models on it.

    Args:
        domain: where points are.
        models: points `[K, D]` → merged parameters, one after the other.
        predicted_losses: points `[K, D]` → losses `[K, T]` as the posteriors see them; `None` where they see nothing.
        digest: what a model depends on besides its point.
        maker: what makes the same models in another process.
    """

    domain: Domain
    models: Callable[[np.ndarray], Iterator[Params]]
    predicted_losses: PredictedLosses | None
    digest: str
    maker: Callable[[], ModelMaker]

    @property
    def has_task_weights(self) -> bool:
        """Whether points are task weights, with which one can finetune jointly."""
        return isinstance(self.domain, Simplex)


def landscape_of(fitted: Fitted) -> Landscape:
    """The landscape that the recipe's `front.domain` asks for.

    Raises:
        RecipeError: a merge rule that has no place in the domain.
    """
    study, section = fitted.study, fitted.study.recipe.front
    if section.domain == "weights":
        return Landscape(
            Simplex(study.tasks), fitted.models, _predicted_by_weights(fitted), _digest(fitted), fitted.maker
        )
    if section.domain == "coefficients":
        if fitted.method.rule.domain != "coefficients":
            raise RecipeError(
                f"front.domain: the rule {study.recipe.rule.name!r} merges by task weights, not by scaling "
                "coefficients: set rule.name to task_arithmetic (or ties, dare, …), or front.domain to weights"
            )
        box = Box(study.tasks, *section.bounds)
        return Landscape(box, fitted.models, _predicted_by_coefficients(fitted), _digest(fitted), fitted.maker)
    return _grouped(fitted)


def _grouped(fitted: Fitted) -> Landscape:
    study, section, rule = fitted.study, fitted.study.recipe.front, fitted.method.rule
    if not isinstance(rule, PosteriorMerge | TaskArithmetic):
        raise RecipeError(
            f"front.domain: groups are scaled task vectors, which the rule {study.recipe.rule.name!r} would change: "
            "leave the rule out"
        )
    frame = _subspace(fitted)
    basis = task_vector_basis(study.base, study.finetunes, section.groups) if frame is None else _task_vectors(frame)
    domain = grouped_box(study.tasks, list(dict.fromkeys(label.group for label in basis.labels)), *section.bounds)
    order = [domain.names.index(f"{label.group}:{label.task}") for label in basis.labels]

    def models(points: np.ndarray) -> Iterator[dict[str, Tensor]]:
        for row in domain.checked(points):
            yield {**study.base, **basis.point(study.base, torch.from_numpy(row[order]))}

    predicted = None if frame is None else _predicted_at(fitted, order, len(domain.names))
    parts = {"checkpoints": study.digests, "groups": domain.names}
    if frame is not None:
        parts["fit"] = repr(fitted.method.fit)  # names the groups, when a function does
    maker = GroupedInPlace(study.base, basis, tuple(order))
    return Landscape(domain, models, predicted, evaluation_key(**parts), lambda: maker)


def _digest(fitted: Fitted) -> str:
    """Rules that read no posterior make the same models whatever was fitted: those are not measured again."""
    if fitted.reads_posteriors:
        return fitted.digest
    return evaluation_key(checkpoints=fitted.study.digests, rule=repr(fitted.method.rule), version=tool_version())


def _predicted_by_weights(fitted: Fitted) -> PredictedLosses | None:
    if not isinstance(fitted.method.rule, PosteriorMerge | FisherWeighted):
        return _predicted_by_coefficients(fitted)
    if not fitted.curvatures.losses:
        return None
    if _subspace(fitted) is not None:
        return fitted.predicted_losses
    return _interpolated(fitted)


def _interpolated(fitted: Fitted) -> PredictedLosses:
    """Posteriors without coordinates predict by merging a whole model: a grid of them, and a smooth surface between."""
    known: list[Callable[[np.ndarray], np.ndarray]] = []

    def predict(points: np.ndarray) -> np.ndarray:
        tasks = len(fitted.study.tasks)
        if tasks == 1:
            return fitted.predicted_losses(points)
        if not known:
            from scipy.interpolate import RBFInterpolator

            divisions = max(d for d in range(1, 41) if d == 1 or comb(d + tasks - 1, d) <= _GRID_POINTS)
            grid = simplex_grid(tasks, divisions)
            # One weight follows from the others.
            surface = RBFInterpolator(grid[:, :-1], fitted.predicted_losses(grid), kernel="cubic")
            known.append(lambda rows: surface(rows[:, :-1]))
        return known[0](points)

    return predict


def _predicted_by_coefficients(fitted: Fitted) -> PredictedLosses | None:
    """Of the linear merge with the same coefficients: for TIES and its kind a guess, which evaluations correct."""
    frame = _subspace(fitted)
    if frame is None:
        return None
    tasks, scale = fitted.study.tasks, getattr(fitted.method.rule, "scale", 1.0)
    labels = [label for label in frame.basis.labels if label.kind == "task_vector"]
    columns = [tasks.index(label.task) for label in labels]
    return _predicted_at(fitted, columns, len(tasks), scale)


def _predicted_at(fitted: Fitted, columns: Sequence[int], dimension: int, scale: float = 1.0) -> Quadratics:
    """Losses of `θ_0 + Σ c v` over the task vectors of the subspace, whose coefficients are `scale` times the points'
    `columns`; its other directions stay at zero.
    """
    frame = _subspace(fitted)
    assert frame is not None
    used = [d for d, label in enumerate(frame.basis.labels) if label.kind == "task_vector"]
    spread = np.zeros((len(frame.basis), dimension))
    spread[used, columns] = scale
    losses = fitted.curvatures.losses.values()
    curvatures = [loss.curvature for loss in losses]
    assert all(isinstance(curvature, Subspace) for curvature in curvatures)
    precisions = [curvature.natural("coordinates").precision.numpy() for curvature in curvatures]  # type: ignore[union-attr]
    means = [curvature.natural("coordinates").precision_mean.numpy() for curvature in curvatures]  # type: ignore[union-attr]
    return Quadratics(
        np.stack([spread.T @ precision @ spread for precision in precisions]),
        np.stack([-(spread.T @ mean) for mean in means]),
        np.array([loss.offset for loss in losses]),
    )


def _task_vectors(frame: Subspace) -> Basis:
    kept = [d for d, label in enumerate(frame.basis.labels) if label.kind == "task_vector"]
    return Basis(tuple(frame.basis.directions[d] for d in kept), tuple(frame.basis.labels[d] for d in kept))


def _subspace(fitted: Fitted) -> Subspace | None:
    """The frame of subspace posteriors whose directions are task vectors; `None` for other families."""
    bare = next(iter(fitted.curvatures.bare.values()))
    losses = fitted.curvatures.losses
    found = isinstance(bare, Subspace) and losses and any(label.kind == "task_vector" for label in bare.basis.labels)
    return bare if found else None  # type: ignore[return-value]
