"""Embeddings cut, extended or permuted so that one row means one token in every model.

Every output row `r` belongs to a token of the wanted vocabulary, or is padding. For model `m` it is

    m's own row of that token, where m knows it;
    else the base's row of that token: the task vector is zero there;
    else, where the base lacks the token too, the mean of the rows of the finetunes that know it.

Padding rows are the base's, where it has that many, so that they do not change.
Shapes: `V` rows of the output, `d` the other dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from paretomerge.checkpoints.checkpoint import Checkpoint, TensorSource
from paretomerge.checkpoints.views import read_into
from paretomerge.types import Params, TensorSpec, compute_dtype, spec_of


@dataclass(frozen=True, eq=False)
class Rows:
    """Which rows of one model go where: output rows `[n]`, and the rows of the model that they are taken from."""

    to: Tensor
    taken: Tensor

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int]]) -> Rows:
        """From pairs (output row, row of the model)."""
        table = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1])


@dataclass(frozen=True, eq=False)
class RowPlan:
    """Where the `V` rows of one model's embedding come from; `others` are averaged per output row."""

    count: int
    own: Rows
    base: Rows
    others: Mapping[str, Rows] = field(default_factory=dict)


def plan_rows(
    target: Mapping[str, int],
    count: int,
    base: tuple[Mapping[str, int], int],
    models: Mapping[str, tuple[Mapping[str, int], int]],
) -> tuple[RowPlan, dict[str, RowPlan]]:
    """Plans for the base and for every finetune.

    Args:
        target: token → output row.
        count: `V`, the number of output rows.
        base: the base's vocabulary and number of rows.
        models: task → vocabulary and number of rows.
    """
    tokens: dict[int, list[str]] = {}
    for token, row in target.items():
        tokens.setdefault(row, []).append(token)
    everyone = {"": base, **models}
    own: dict[str, list[tuple[int, int]]] = {name: [] for name in everyone}
    borrowed: dict[str, list[tuple[int, int]]] = {name: [] for name in everyone}
    lacking: dict[str, dict[str, list[tuple[int, int]]]] = {name: {} for name in everyone}
    for row in range(count):
        known = {name: _row_of(tokens.get(row, ()), row, *everyone[name]) for name in everyone}
        found = {name: place for name, place in known.items() if place is not None}
        if row not in tokens:  # padding: the base's for everyone, else that of the first model that has so many rows
            found = dict([next(iter(found.items()))])
        knowing = [name for name in models if name in found]
        for name in everyone:
            if name in found:
                own[name].append((row, found[name]))
            elif "" in found:
                borrowed[name].append((row, found[""]))
            else:
                for other in knowing:
                    lacking[name].setdefault(other, []).append((row, found[other]))
    plans = {
        name: RowPlan(
            count,
            Rows.of(own[name]),
            Rows.of(borrowed[name]),
            {other: Rows.of(pairs) for other, pairs in lacking[name].items()},
        )
        for name in everyone
    }
    return plans.pop(""), plans


def _row_of(tokens: Sequence[str], row: int, vocabulary: Mapping[str, int], count: int) -> int | None:
    """The row of the first of `tokens` that the model knows; for padding the row itself."""
    if not tokens:
        return row if row < count else None
    return next((vocabulary[token] for token in tokens if token in vocabulary), None)


class TokenTensors:
    """The embeddings of one model with the rows of `plan`; nothing is held, `read` computes.

    Args:
        model: whose tensors they are.
        names: which of its tensors have tokens as rows.
        plan: where the rows come from.
        base: the base.
        others: the finetunes of `plan.others`.
    """

    def __init__(
        self, model: Params, names: Sequence[str], plan: RowPlan, base: Params, others: Mapping[str, Params]
    ) -> None:
        """Nothing is read."""
        self._model, self._names, self._plan, self._base, self._others = model, tuple(names), plan, base, dict(others)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order given."""
        return self._names

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor."""
        spec = spec_of(self._model, name)
        return TensorSpec((self._plan.count, *spec.shape[1:]), spec.dtype)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """Gather the rows, in `buffer` if it is given."""
        spec, plan = self.spec(name), self._plan
        out = spec.room(buffer)
        _put(out, plan.own, self._model, name)
        if len(plan.base.to):
            _put(out, plan.base, self._base, name)
        if plan.others:
            self._put_means(out, name)
        return out

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Itself: the values are computed."""
        return self, name

    def require_unchanged(self) -> None:
        """Raise `StorageError` if a file behind it was replaced since it was opened."""
        for params in (self._model, self._base, *self._others.values()):
            if isinstance(params, Checkpoint):
                params.require_unchanged()

    def _put_means(self, out: Tensor, name: str) -> None:
        dtype = compute_dtype([out.dtype])
        rows = torch.cat([rows.to for rows in self._plan.others.values()]).unique()
        place = torch.full((self._plan.count,), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        sums = torch.zeros(len(rows), *out.shape[1:], dtype=dtype)
        counts = torch.zeros(len(rows), dtype=dtype)
        for task, held in self._plan.others.items():
            sums.index_add_(0, place[held.to], read_into(self._others[task], name, None)[held.taken].to(dtype))
            counts.index_add_(0, place[held.to], torch.ones(len(held.to), dtype=dtype))
        out[rows] = (sums / counts.reshape(-1, *[1] * (out.ndim - 1))).to(out.dtype)


def _put(out: Tensor, rows: Rows, source: Params, name: str) -> None:
    """`out[rows.to] = source[name][rows.taken]`."""
    if not len(rows.to):
        return
    values = read_into(source, name, None)
    first, size = int(rows.to[0]), len(rows.to)
    together = torch.equal(rows.to, torch.arange(first, first + size))
    if together and torch.equal(rows.taken, torch.arange(int(rows.taken[0]), int(rows.taken[0]) + size)):
        start = int(rows.taken[0])  # the usual case, one run of rows: copied without an index
        out[first : first + size] = values[start : start + size]
    else:
        out[rows.to] = values[rows.taken].to(out.dtype)
