"""Norms, distances and cosines of task vectors, read block by block.

Everything follows from sums over blocks, accumulated in float64 over pieces of `PIECE` elements:

    G   = Σ_blocks D Dᵀ    [T, T], D = the T task vectors of the block as rows
    r_t = sqrt(Σ ‖θ_t − θ_0‖² / Σ ‖θ_0‖²)  over tensors with at least two dimensions

A tensor with NaN or infinite entries in any model is reported and left out of the sums.
Shapes: `T` tasks, `n` elements of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from paretomerge.checkpoints.findings import Finding, PairCosine, TaskStatistics
from paretomerge.checkpoints.structure import comparable
from paretomerge.types import Params, spec_of

PIECE = 1 << 20


@dataclass(eq=False)
class Sums:
    """Running sums over the blocks read so far."""

    tasks: tuple[str, ...]
    tensors: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start from zero."""
        count = len(self.tasks)
        self.tensors = dict.fromkeys(self.tasks, 0)
        self.parameters = dict.fromkeys(self.tasks, 0)
        self.gram = torch.zeros(count, count, dtype=torch.float64)
        self.matrix_distance = torch.zeros(count, dtype=torch.float64)
        self.matrix_norm = torch.zeros(count, dtype=torch.float64)
        self.same_as_base = torch.ones(count, dtype=torch.bool)
        self.same_pair = torch.ones(count, count, dtype=torch.bool)

    def statistics(self, values_read: bool) -> tuple[TaskStatistics, ...]:
        """One record per task."""
        rows = []
        for t, task in enumerate(self.tasks):
            norm = distance = None
            if values_read:
                norm = float(self.gram[t, t].sqrt())
                if self.matrix_norm[t] > 0:
                    distance = float((self.matrix_distance[t] / self.matrix_norm[t]).sqrt())
            rows.append(TaskStatistics(task, self.tensors[task], self.parameters[task], norm, distance))
        return tuple(rows)

    def cosines(self) -> tuple[PairCosine, ...]:
        """One record per pair of tasks."""
        norms = self.gram.diagonal().sqrt()
        pairs = []
        for i, one in enumerate(self.tasks):
            for j in range(i + 1, len(self.tasks)):
                scale = float(norms[i] * norms[j])
                cosine = float(self.gram[i, j]) / scale if scale > 0 else None
                pairs.append(PairCosine((one, self.tasks[j]), cosine))
        return tuple(pairs)


def count_comparable(base: Params, finetunes: Mapping[str, Params]) -> Sums:
    """Only the numbers of tensors and elements, from the specs."""
    sums = Sums(tuple(finetunes))
    for name in base:
        for task, finetune in finetunes.items():
            if comparable(name, base, finetune):
                sums.tensors[task] += 1
                sums.parameters[task] += spec_of(base, name).numel
    return sums


def sum_task_vectors(base: Params, finetunes: Mapping[str, Params]) -> Sums:
    """Read every block of every model once."""
    sums = count_comparable(base, finetunes)
    for name in base:
        if spec_of(base, name).is_mergeable:
            _add_block(sums, name, base, finetunes)
    return sums


def _add_block(sums: Sums, name: str, base: Params, finetunes: Mapping[str, Params]) -> None:
    rows = [t for t, task in enumerate(sums.tasks) if comparable(name, base, finetunes[task])]
    origin = base[name].detach().reshape(-1)
    tensors = [finetunes[sums.tasks[t]][name].detach().reshape(-1) for t in rows]
    broken = _not_finite(None, name, origin)
    broken += [
        found for t, tensor in zip(rows, tensors, strict=True) for found in _not_finite(sums.tasks[t], name, tensor)
    ]
    sums.findings += broken
    if broken or not rows:
        return
    index = torch.tensor(rows)
    is_matrix = len(spec_of(base, name).shape) >= 2
    for start in range(0, len(origin), PIECE):
        piece = slice(start, start + PIECE)
        centre = _double(origin[piece])
        deltas = torch.stack([_double(tensor[piece]) for tensor in tensors]) - centre
        _add_piece(sums, index, deltas, centre, is_matrix)


def _add_piece(sums: Sums, rows: Tensor, deltas: Tensor, centre: Tensor, is_matrix: bool) -> None:
    gram = deltas @ deltas.T
    sums.gram[rows[:, None], rows] += gram
    sums.same_as_base[rows] &= (deltas == 0).all(dim=1)
    if is_matrix:
        sums.matrix_distance[rows] += gram.diagonal()
        sums.matrix_norm[rows] += centre @ centre
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            pair = (int(rows[i]), int(rows[j]))
            if sums.same_pair[pair]:
                sums.same_pair[pair] = bool(torch.equal(deltas[i], deltas[j]))


def _not_finite(task: str | None, name: str, values: Tensor) -> list[Finding]:
    nan = infinite = 0
    for start in range(0, len(values), PIECE):
        piece = values[start : start + PIECE].to(torch.float32)
        if values.dtype == torch.float64:
            piece = values[start : start + PIECE]
        if not bool(torch.isfinite(piece).all()):
            nan += int(torch.isnan(piece).sum())
            infinite += int(torch.isinf(piece).sum())
    if not nan + infinite:
        return []
    message = (
        f"{name!r} holds {nan} NaN and {infinite} infinite values: the run diverged, or the weights overflowed "
        "their dtype; use an earlier checkpoint, or save in bfloat16 or float32"
    )
    return [Finding("error", "not_finite", task, name, message)]


def _double(values: Tensor) -> Tensor:
    return values.to(device="cpu", dtype=torch.float64)
