"""How far a posterior's curvature is from the truth, where merges land and in the directions they move in.

The truth is the Gauss-Newton matrix `A_t` of every task at the average of the finetunes, along their task vectors cut
by layers, on more examples than posteriors are fitted with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge import Problem
from paretomerge.curvature import Curvatures, LossModel, average, expand_in_subspace, parameters_of
from paretomerge.posteriors import (
    Basis,
    Expanded,
    Isotropic,
    Mixture,
    Product,
    Subspace,
    precision_product,
    task_vector_basis,
)
from paretomerge.types import Params

EXAMPLES = 700
"""Per task, of the truth."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Curvature along a basis.

    Args:
        basis: task vectors by layers, `D` directions.
        curvatures: task → `A_t [D, D]`.
    """

    basis: Basis
    curvatures: Mapping[str, Tensor]

    @classmethod
    def of(
        cls,
        problem: Problem,
        base: Params,
        finetunes: Mapping[str, Params],
        examples: int = EXAMPLES,
        centre: Params | None = None,
    ) -> Truth:
        """Measure it, on the first training examples.

        Args:
            problem: model and data.
            base: where task vectors start.
            finetunes: task → parameters.
            examples: per task.
            centre: where; the average of the finetunes when `None`.
        """
        module = problem.build()
        model = LossModel.of(module, problem.likelihood)
        ready = {task: parameters_of(found, module) for task, found in finetunes.items()}
        start = parameters_of(base, module)
        origin = {name: start[name] for name in model.trainable}
        trained = {task: {name: found[name] for name in model.trainable} for task, found in ready.items()}
        basis = task_vector_basis(origin, trained, "layer")
        at = average(ready) if centre is None else parameters_of(centre, module)
        return cls(
            basis,
            {
                task: expand_in_subspace(model, at, basis, problem.batches(task, "training"), examples).curvature
                for task in finetunes
            },
        )


def curvature_error(truth: Truth, curvatures: Curvatures) -> float | None:
    """`min_s √(Σ_t ‖s Â_t - A_t‖² / Σ_t ‖A_t‖²)`, Frobenius norms; `None` where the family cannot say `Â`.

    One scale `s` for all tasks is free: a merge does not depend on it.
    """
    found = {task: _along(truth.basis, task_curvature) for task, task_curvature in curvatures.bare.items()}
    if any(matrix is None for matrix in found.values()):
        return None
    return relative_error(found, truth.curvatures)  # type: ignore[arg-type]


def relative_error(found: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> float:
    """The error at the best common scale, which is not negative."""
    inner = sum(float((found[task] * true[task]).sum()) for task in true)
    own = sum(float(found[task].square().sum()) for task in true)
    whole = sum(float(true[task].square().sum()) for task in true)
    return (max(0.0, whole - max(0.0, inner) ** 2 / own) / whole) ** 0.5 if own else 1.0


def _along(basis: Basis, curvature: object) -> Tensor | None:
    """`VᵀHV` along the layers' task vectors."""
    if isinstance(curvature, Expanded):
        curvature = curvature.curvature
    if isinstance(curvature, Mixture):
        return None
    if isinstance(curvature, Subspace):
        return _aggregated(basis, curvature)
    if isinstance(curvature, Product) and any(isinstance(part, Isotropic) for part in curvature.parts.values()):
        return None  # what was not measured has an arbitrary scale
    columns = []
    for direction in basis.directions:
        full = {
            name: direction[name] if name in direction else torch.zeros(spec.shape)
            for name, spec in curvature.specs.items()  # type: ignore[attr-defined]
            if spec.is_mergeable
        }
        columns.append(basis.project_gradient(precision_product(curvature, full)))  # type: ignore[arg-type]
    matrix = torch.stack(columns)
    return (matrix + matrix.T) / 2


def _aggregated(basis: Basis, curvature: Subspace) -> Tensor | None:
    """Layers are sums of their tensors; a subspace without the layers' task vectors cannot say."""
    rows = torch.zeros(len(basis), len(curvature.basis), dtype=torch.float64)
    for i, (direction, label) in enumerate(zip(basis.directions, basis.labels, strict=True)):
        names: set[str] = set()
        for j, (own, other) in enumerate(zip(curvature.basis.directions, curvature.basis.labels, strict=True)):
            if other.kind == "task_vector" and other.task == label.task and set(own) <= set(direction):
                rows[i, j] = 1.0
                names |= set(own)
        if names != set(direction):
            return None
    return rows @ curvature.precision @ rows.T
