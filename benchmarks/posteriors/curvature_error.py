"""How far a posterior's curvature is from the truth, where merges land and in the directions they move in."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from benchmarks.posteriors.settings import Setting
from torch import Tensor

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

FIRST = 700
"""Examples per task of the truth."""


class Truth:
    """The Gauss-Newton matrix of every task at the average of the finetunes, along their task vectors by layers."""

    def __init__(self, setting: Setting) -> None:
        module = setting.problem.build()
        model = LossModel.of(module, setting.problem.likelihood)
        ready = {task: parameters_of(found, module) for task, found in setting.finetunes.items()}
        base = parameters_of(setting.base, module)
        origin = {name: base[name] for name in model.trainable}
        trained = {task: {name: found[name] for name in model.trainable} for task, found in ready.items()}
        self.basis = task_vector_basis(origin, trained, "layer")
        centre = average(ready)
        self.curvatures = {
            task: expand_in_subspace(
                model, centre, self.basis, setting.problem.batches(task, "training"), FIRST
            ).curvature
            for task in setting.problem.tasks
        }


def curvature_error(truth: Truth, curvatures: Curvatures) -> float | None:
    """`min_s √(Σ_t ‖s Â_t - A_t‖² / Σ_t ‖A_t‖²)`, Frobenius norms; `None` where the family cannot say `Â`.

    One scale `s` for all tasks is free: a merge does not depend on it.
    """
    found = {task: _along(truth.basis, task_curvature) for task, task_curvature in curvatures.bare.items()}
    if any(matrix is None for matrix in found.values()):
        return None
    return relative_error(found, truth.curvatures)  # type: ignore[arg-type]


def relative_error(found: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> float:
    """The error at the best common scale."""
    inner = sum(float((found[task] * true[task]).sum()) for task in true)
    own = sum(float(found[task].square().sum()) for task in true)
    whole = sum(float(true[task].square().sum()) for task in true)
    return (max(0.0, whole - inner**2 / own) / whole) ** 0.5 if own else 1.0


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
