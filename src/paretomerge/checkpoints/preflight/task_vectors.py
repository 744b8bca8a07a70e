"""Norms, distances and angles of task vectors, read block by block in one pass.

Everything follows from one symmetric matrix per tensor, a sum over tiles that is accumulated in float64:

    G = Σ X Xᵀ    [1 + T, 1 + T],    X = the rows (θ_0, θ_1 − θ_0, …, θ_T − θ_0) of the tile

    ‖θ_t − θ_0‖² = G_tt,   ⟨θ_t, θ_0⟩ = G_00 + G_0t,   ‖θ_t‖² = G_00 + 2 G_0t + G_tt

Inside a run of `RUN` elements the sums are float32 unless an input is float64: differences of close float32 numbers
are exact, and the sums are right to about 1e-6. A NaN or an infinity in
any model makes `G` not finite, so only such a tile is looked at again, element by element. Whether two models are
equal is asked of the elements themselves, until the first tile where they differ.

A tensor with NaN or infinite entries in any model is reported and left out of the sums.
Shapes: `T` tasks, `n` elements of a tile.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from paretomerge.arithmetic import TILE, sweep
from paretomerge.checkpoints.findings import Finding, PairCosine, TaskStatistics, TensorDistance
from paretomerge.checkpoints.preflight.structure import comparable
from paretomerge.checkpoints.views import read_into
from paretomerge.types import Params, compute_dtype, spec_of

RUN = 4096  # elements whose products are summed in the dtype of the tile
FARTHEST_SHOWN = 3
SAMPLED_ELEMENTS = 1 << 22  # of each model: tens of milliseconds
SAME = 1e-3
"""Vectors whose Gram entries differ by more than this, relative to their norm, are not equal: rounding in the sums is
a thousand times smaller. Those that differ by less are compared element by element."""


@dataclass(frozen=True)
class Block:
    """What one tensor adds: `gram [1 + T, 1 + T]`, and for tasks that lack it zeros."""

    name: str
    is_matrix: bool
    elements: int
    gram: Tensor
    tasks: tuple[int, ...]

    def distance(self, t: int) -> TensorDistance | None:
        """Of task `t` (from 0); `None` where the base is zero."""
        base, moved, along = (float(self.gram[i, j]) for i, j in ((0, 0), (t + 1, t + 1), (0, t + 1)))
        if not base > 0:
            return None
        own = max(base + 2 * along + moved, 0.0)
        cosine = (base + along) / math.sqrt(base * own) if own > 0 else 0.0
        return TensorDistance(self.name, math.sqrt(moved / base), max(-1.0, min(1.0, cosine)))


@dataclass(eq=False)
class Sums:
    """Running sums over the blocks read so far."""

    tasks: tuple[str, ...]
    tensors: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start from zero."""
        count = len(self.tasks)
        self.tensors = dict.fromkeys(self.tasks, 0)
        self.parameters = dict.fromkeys(self.tasks, 0)
        self.same_as_base = [True] * count
        self.same_pair = {(i, j): True for i in range(count) for j in range(i + 1, count)}

    @property
    def gram(self) -> Tensor:
        """`[1 + T, 1 + T]` over all tensors."""
        size = 1 + len(self.tasks)
        return sum((block.gram for block in self.blocks), torch.zeros(size, size, dtype=torch.float64))

    def statistics(self, values_read: bool) -> tuple[TaskStatistics, ...]:
        """One record per task."""
        return tuple(self._statistics_of(t, task, values_read) for t, task in enumerate(self.tasks))

    def cosines(self) -> tuple[PairCosine, ...]:
        """One record per pair of tasks."""
        gram = self.gram[1:, 1:]
        norms = gram.diagonal().sqrt()
        pairs = []
        for i, one in enumerate(self.tasks):
            for j in range(i + 1, len(self.tasks)):
                scale = float(norms[i] * norms[j])
                cosine = float(gram[i, j]) / scale if scale > 0 else None
                pairs.append(PairCosine((one, self.tasks[j]), cosine))
        return tuple(pairs)

    def _statistics_of(self, t: int, task: str, values_read: bool) -> TaskStatistics:
        counted = (self.tensors[task], self.parameters[task])
        if not values_read:
            return TaskStatistics(task, *counted)
        matrices = [block for block in self.blocks if block.is_matrix and t in block.tasks]
        grams = sum((block.gram for block in matrices), torch.zeros_like(self.gram))
        whole = Block("", True, 0, grams, (t,)).distance(t)
        rows = [found for block in matrices if (found := block.distance(t)) is not None]
        farthest = tuple(sorted(rows, key=lambda row: -row.relative_distance)[:FARTHEST_SHOWN])
        norm = float(self.gram[t + 1, t + 1].sqrt())
        if whole is None:
            return TaskStatistics(task, *counted, norm)
        return TaskStatistics(task, *counted, norm, whole.relative_distance, whole.cosine, farthest)


def count_comparable(base: Params, finetunes: Mapping[str, Params], names: Sequence[str]) -> Sums:
    """Only the numbers of tensors and elements among `names`, from the specs."""
    sums = Sums(tuple(finetunes))
    for name in names:
        for task, finetune in finetunes.items():
            if comparable(name, base, finetune):
                sums.tensors[task] += 1
                sums.parameters[task] += spec_of(base, name).numel
    return sums


def sum_task_vectors(sums: Sums, base: Params, finetunes: Mapping[str, Params], names: Sequence[str]) -> None:
    """Read the tensors `names` of every model once and add them to `sums`; memory is the largest tensor of each."""
    names = [name for name in names if spec_of(base, name).is_mergeable]
    models = (base, *finetunes.values())
    size = [max((spec_of(model, name).nbytes for name in names if name in model), default=0) for model in models]
    buffers = [torch.empty(count, dtype=torch.uint8) for count in size]
    for name in names:
        rows = [t for t, task in enumerate(sums.tasks) if comparable(name, base, finetunes[task])]
        tensors = _read([(models[m], buffers[m]) for m in (0, *(t + 1 for t in rows))], name)
        _add_block(sums, name, rows, tensors, len(spec_of(base, name).shape) >= 2)


def sample_names(base: Params, names: Sequence[str], most: int = SAMPLED_ELEMENTS) -> list[str]:
    """Some of `names`, spread over the model, of at most `most` elements together; at least one if there is any."""
    sizes = {name: spec.numel for name in names if (spec := spec_of(base, name)).is_mergeable}
    chosen: set[str] = set()
    filled = 0
    # by the checksum of the name: as good as random, and the same every time
    for name in sorted(sizes, key=lambda name: (sizes[name] > most, zlib.crc32(name.encode()))):
        if filled + sizes[name] <= most or not chosen:
            chosen.add(name)
            filled += sizes[name]
    return [name for name in names if name in chosen]


def _read(models: Sequence[tuple[Params, Tensor]], name: str) -> list[Tensor]:
    """The tensor of each model, flat; one that several models share (an adapter and its base) is read once."""
    held: dict[object, Tensor] = {}
    tensors = []
    for params, buffer in models:
        locate = getattr(params, "locate", None)
        where: object = id(params)
        if locate is not None:
            holder, inner = locate(name)
            where = (id(holder), inner)
        if where not in held:
            held[where] = read_into(params, name, buffer).detach().to("cpu").reshape(-1)
        tensors.append(held[where])
    return tensors


def _add_block(sums: Sums, name: str, rows: list[int], tensors: list[Tensor], is_matrix: bool) -> None:
    dtype = compute_dtype(tensor.dtype for tensor in tensors)
    gram = _gram(sums, rows, tensors, dtype)
    if not bool(torch.isfinite(gram).all()):
        broken = [
            found
            for t, tensor in zip([None, *rows], tensors, strict=True)
            for found in _not_finite(None if t is None else sums.tasks[t], name, tensor)
        ]
        sums.findings += broken
        if broken:
            return
        gram = _gram(sums, rows, tensors, torch.float64)  # squares that float32 cannot hold
    if rows:
        full = torch.zeros(1 + len(sums.tasks), 1 + len(sums.tasks), dtype=torch.float64)
        place = torch.tensor([0, *(t + 1 for t in rows)])
        full[place[:, None], place] = gram
        sums.blocks.append(Block(name, is_matrix, len(tensors[0]), full, tuple(rows)))


def _gram(sums: Sums, rows: Sequence[int], tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """`[1 + R, 1 + R]` of one tensor for the base and `R` tasks; also notes which models differ."""
    size = len(tensors)
    # a place for each tile, so that the sum does not depend on which thread was first
    parts = torch.zeros(max(-(-len(tensors[0]) // TILE), 1), size, size, dtype=torch.float64)

    def combine(tiles: Sequence[Tensor], _: Tensor, start: int) -> None:
        scratch = tiles[size:]
        scratch[0].copy_(tiles[0])
        for target, tile in zip(scratch[1:], tiles[1:size], strict=True):
            torch.sub(tile, tiles[0], out=target)
        part = parts[start // TILE]
        part.copy_(_products(scratch))
        _note_equal(sums, rows, scratch[1:], part)

    sweep(tensors, None, combine, dtype, scratch=size)
    return parts.sum(0)


def _products(rows: Sequence[Tensor]) -> Tensor:
    """All inner products of `rows`, consecutive rows of one matrix, `[S, S]`.

    The rows are cut into runs of `RUN` whose products are one batched call: as fast as one product of the whole rows,
    and thirty times as accurate, because each sum is short.
    """
    size, width = len(rows), len(rows[0])
    step = (rows[1].data_ptr() - rows[0].data_ptr()) // rows[0].element_size() if size > 1 else width
    whole = width // RUN * RUN
    rest = rows[0].as_strided((size, width - whole), (step, 1), rows[0].storage_offset() + whole)
    products = (rest @ rest.T).to(torch.float64)
    if whole:
        runs = rows[0].as_strided((width // RUN, size, RUN), (RUN, step, 1))
        products += torch.bmm(runs, runs.transpose(1, 2)).sum(0, dtype=torch.float64)
    return products


def _note_equal(sums: Sums, rows: Sequence[int], deltas: Sequence[Tensor], part: Tensor) -> None:
    """Clear the marks of models that differ in this tile."""
    gram = part[1:, 1:].tolist()
    for i, t in enumerate(rows):
        # a sum of zero may also be squares too small for the dtype
        if sums.same_as_base[t] and (gram[i][i] != 0 or bool(deltas[i].any())):
            sums.same_as_base[t] = False
        for j in range(i + 1, len(rows)):
            pair = (t, rows[j])
            if sums.same_pair[pair] and not (
                abs(gram[i][i] - gram[j][j]) <= SAME * gram[i][i] and torch.equal(deltas[i], deltas[j])
            ):
                sums.same_pair[pair] = False


def _not_finite(task: str | None, name: str, values: Tensor) -> list[Finding]:
    nan = infinite = 0
    for piece in values.split(TILE):
        wide = piece if piece.dtype == torch.float64 else piece.to(torch.float32)
        nan += int(torch.isnan(wide).sum())
        infinite += int(torch.isinf(wide).sum())
    if not nan + infinite:
        return []
    message = (
        f"{name!r} holds {nan} NaN and {infinite} infinite values: the run diverged, or the weights overflowed "
        "their dtype; use an earlier checkpoint, or save in bfloat16 or float32"
    )
    return [Finding("error", "not_finite", task, name, message)]
