"""Directions in parameter space, and the coordinates `c` of the subspace they span.

    θ = origin + Σ_d c_d v_d

A direction touches only the tensors of its group, so `D` directions over `G` groups take `D/G` times the
memory of the model, not `D` times: each is a partial `Params`, and missing tensors are zero.

Shapes: `D` directions, `T` tasks, `G` groups, `K` points, `P` parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from paretomerge.arithmetic import exact, sweep, weighted_sum
from paretomerge.errors import PosteriorError
from paretomerge.posteriors.grouping import Grouping, group_names
from paretomerge.types import Layout, Params, compute_dtype, spec_of

_TILE = 2**15

DirectionKind = Literal["task_vector", "gradient", "other"]


@dataclass(frozen=True)
class DirectionLabel:
    """Where a direction comes from: its kind, the task, and the parameter group it is confined to."""

    kind: DirectionKind = "other"
    task: str = ""
    group: str = ""


@dataclass(frozen=True, eq=False)
class Basis:
    """`D` directions with their labels.

    Args:
        directions: each a partial `Params`; tensors it lacks are zero.
        labels: one per direction.
        anchors: task → coordinates `[D]` that a ridge pulls the task's posterior to; its finetune's own where none
            is given.
    """

    directions: tuple[Params, ...]
    labels: tuple[DirectionLabel, ...]
    anchors: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """One label per direction."""
        if len(self.directions) != len(self.labels):
            raise PosteriorError(f"{len(self.directions)} directions but {len(self.labels)} labels")
        if not self.directions:
            raise PosteriorError("a basis needs at least one direction")

    def __len__(self) -> int:
        """`D`."""
        return len(self.directions)

    def __add__(self, other: Basis) -> Basis:
        """The directions of both; anchors are forgotten."""
        return Basis(self.directions + other.directions, self.labels + other.labels)

    def anchor(self, task: str) -> Tensor:
        """Where a ridge pulls task `t`: its anchor, or `e_t`."""
        return self.anchors[task] if task in self.anchors else self.corner(task)

    def own(self, task: str) -> Tensor:
        """`[D]`: one on the directions that come from task `t`, zero elsewhere."""
        return torch.tensor([label.task == task for label in self.labels], dtype=torch.float64)

    def project_gradient(self, gradient: Params) -> Tensor:
        """`Vᵀg [D]`, float64."""
        return torch.stack(
            [
                torch.stack(
                    [(tensor * gradient[name]).sum(dtype=torch.float64) for name, tensor in direction.items()]
                ).sum()
                for direction in self.directions
            ]
        )

    @classmethod
    def of(cls, directions: Basis | Sequence[Params] | Tensor, layout: Layout) -> Basis:
        """From a `Basis`, a sequence of (partial) `Params`, or a matrix `[P, D]` with directions as columns."""
        if isinstance(directions, Basis):
            return directions
        if isinstance(directions, Tensor):
            if directions.ndim != 2 or directions.shape[0] != layout.size:
                raise PosteriorError(f"the basis has shape {list(directions.shape)}, expected [{layout.size}, D]")
            columns = layout.unflatten(directions.T.contiguous())
            directions = [{name: columns[name][d] for name in columns} for d in range(directions.shape[1])]
        return cls(tuple(directions), (DirectionLabel(),) * len(directions))

    def tensors(self) -> dict[str, list[int]]:
        """Which directions touch each tensor."""
        touched: dict[str, list[int]] = {}
        for index, direction in enumerate(self.directions):
            for name in direction:
                touched.setdefault(name, []).append(index)
        return touched

    def corner(self, task: str) -> Tensor:
        """`e_t [D]`: one on task `t`'s task vectors, zero elsewhere: the coordinates of its finetune."""
        flags = [label.kind == "task_vector" and label.task == task for label in self.labels]
        return torch.tensor(flags, dtype=torch.float64)

    @exact
    def combine(self, coordinates: Tensor, name: str) -> Tensor:
        """`Σ_d c_d v_d` on one tensor, for `K` points: `[K, D] → [K, *shape]`."""
        used = [d for d, direction in enumerate(self.directions) if name in direction]
        stacked = torch.stack([self.directions[d][name] for d in used])
        dtype = compute_dtype([stacked.dtype])
        flat = coordinates[:, used].to(dtype) @ stacked.reshape(len(used), -1).to(dtype)
        return flat.reshape(len(coordinates), *stacked.shape[1:])

    def displace(self, origin: Tensor, coordinates: Tensor, name: str, out: Tensor) -> None:
        """`origin + Σ_d c_d v_d` on the tensor `name`, for `K` points `[K, D]`: overwrites `out [K, *shape]`.

        The sum is rounded once, into the dtype of `out`; a tensor that no direction touches stays.
        """
        used = [d for d, direction in enumerate(self.directions) if name in direction]
        if not used:
            out.copy_(origin.expand(out.shape))
            return
        sources = [origin, *(self.directions[d][name] for d in used)]
        factors = torch.cat([torch.ones(len(coordinates), 1, dtype=torch.float64), coordinates[:, used].cpu()], dim=1)
        sweep(
            sources,
            out,
            lambda tiles, target, start: weighted_sum(factors, tiles, target),
            compute_dtype(source.dtype for source in sources),
        )

    def point(self, origin: Params, coordinates: Tensor) -> dict[str, Tensor]:
        """`origin + V c` for one point `[D]`, in the origin's dtypes."""
        moved = {}
        for name in origin:
            moved[name] = torch.empty_like(origin[name])
            self.displace(origin[name], coordinates[None], name, moved[name][None])
        return moved

    def gram(self) -> Tensor:
        """`VᵀV [D, D]`, float64; zero between directions that touch different tensors."""
        return self._gram.clone()

    @cached_property
    def _gram(self) -> Tensor:
        """Directions never change, and reading all of them takes a second where models are large."""
        gram = torch.zeros(len(self), len(self), dtype=torch.float64)
        for name, used in self.tensors().items():
            for part in _parts(self.directions[used[0]][name]):
                block = self._block(name, used, part)
                gram[torch.tensor(used)[:, None], torch.tensor(used)] += block @ block.T
        return gram

    def inner_products(self, moved: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, float]:
        """`Vᵀo [D]` and `‖o‖²` of an offset `o`, given by name as two tensors whose difference it is; float64."""
        touched, squared = self.tensors(), 0.0
        products = torch.zeros(len(self), dtype=torch.float64)
        for name, (there, here) in moved.items():
            used = touched.get(name, [])
            for part in _parts(here):
                offset = there.reshape(-1)[part].to(torch.float64) - here.reshape(-1)[part].to(torch.float64)
                squared += float(offset @ offset)
                if used:
                    products[used] += self._block(name, used, part) @ offset
        return products, squared

    def _block(self, name: str, used: Sequence[int], part: slice) -> Tensor:
        """`[U, n]`, float64: a part of one tensor in every direction that touches it."""
        return torch.stack([self.directions[d][name].reshape(-1)[part] for d in used]).to(torch.float64)


def task_vector_basis(base: Params, finetunes: Mapping[str, Params], grouping: Grouping = "layer") -> Basis:
    """Task vectors `δ_t = θ_t - θ_0` cut into groups: `G·T` directions, zero outside their group."""
    names = [name for name in base if spec_of(base, name).is_mergeable]
    directions: list[Params] = []
    labels: list[DirectionLabel] = []
    for group, members in group_names(names, grouping).items():
        for task, finetune in finetunes.items():
            directions.append({name: _difference(finetune[name], base[name]) for name in members})
            labels.append(DirectionLabel("task_vector", task, group))
    return Basis(tuple(directions), tuple(labels))


def gradient_basis(
    gradients: Mapping[str, Params],
    like: Basis,
    grouping: Grouping = "layer",
    kind: DirectionKind = "gradient",
) -> Basis:
    """Descent directions `-g_t` cut into groups and scaled to the norm of the group's task vectors.

    Joint finetuning leaves the span of the task vectors; these directions are where it goes first. Tensors that no
    task vector moves were frozen, and stay: joint finetuning would not move them either.

    Args:
        gradients: task → (preconditioned) gradient at the centre.
        like: the task-vector basis that gives each group its scale (the root mean square norm over tasks).
        grouping: as for `like`.
        kind: the label the directions carry.
    """
    norms: dict[str, list[float]] = {}
    trained: set[str] = set()
    for direction, label in zip(like.directions, like.labels, strict=True):
        norms.setdefault(label.group, []).append(_norm(direction))
        trained |= {name for name, tensor in direction.items() if bool(tensor.any())}
    directions: list[Params] = []
    labels: list[DirectionLabel] = []
    names = [name for name in next(iter(gradients.values())) if name in trained]
    for group, members in group_names(names, grouping).items():
        scale = (sum(norm**2 for norm in norms[group]) / len(norms[group])) ** 0.5
        for task, gradient in gradients.items():
            part = {name: gradient[name] for name in members}
            length = _norm(part)
            if length > 0:
                directions.append({name: tensor * (-scale / length) for name, tensor in part.items()})
                labels.append(DirectionLabel(kind, task, group))
    if not directions:
        raise PosteriorError("every gradient is zero: the centre is already a stationary point of every task")
    return Basis(tuple(directions), tuple(labels))


def _parts(tensor: Tensor) -> Iterator[slice]:
    """Slices of a flat tensor that are small enough for a processor's cache."""
    return (slice(start, start + _TILE) for start in range(0, tensor.numel(), _TILE))


def _difference(one: Tensor, other: Tensor) -> Tensor:
    dtype = compute_dtype([one.dtype, other.dtype])
    return one.to(dtype) - other.to(dtype)


def _norm(direction: Params) -> float:
    return sum(float(tensor.to(torch.float64).square().sum()) for tensor in direction.values()) ** 0.5
