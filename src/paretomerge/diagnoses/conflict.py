"""Tasks whose finetunes pull in opposite directions.

In parameters: the cosine of two task vectors, and the share of their overlap that opposes,
`Σ |a b| [a b < 0] / Σ |a b|` over elements (a half for unrelated vectors). In losses: the transfer from task `s` to
task `t`,

    transfer_{s→t} = ( l_t(θ_0) - l_t(θ_s) ) / ( l_t(θ_0) - l_t(θ_t) )

what finetuning on `s` does for `t`, in units of what finetuning on `t` does: 1 is as good, 0 nothing, below 0 it harms.
Losses are measured ones, or those that the posteriors predict.

Conflict need not spoil a preview: joint finetuning has to trade off too. It says that the front is wide, that equal
weights please nobody, and where a merge has most to lose.

Shapes: `T` tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from paretomerge.diagnoses.diagnosis import Diagnosis
from paretomerge.types import Params, spec_of

OPPOSED = -0.1
"""Cosine of two task vectors below which they oppose each other; unrelated ones are within 0.1 of zero."""
HARM = -0.25
"""Transfer below which one task's finetuning is a serious loss to another."""
RUIN = -2.0
"""Transfer below which it is a warning, where measured: on digits previews hold above it, and fail below."""
REMEDY = (
    "verify weightings between them (verify --points), a few joint steps from the merge (finetune --start merged), or "
    "coefficients per group (front.domain: groups)"
)


@dataclass(frozen=True)
class Overlap:
    """How two task vectors lie to each other; NaN where one of them is zero."""

    cosine: float
    opposed: float


def task_vector_overlaps(base: Params, finetunes: Mapping[str, Params]) -> dict[tuple[str, str], Overlap]:
    """Of every pair of tasks, over the tensors that all models have; read once, one tensor at a time."""
    pairs = list(combinations(finetunes, 2))
    inner, absolute = dict.fromkeys(pairs, 0.0), dict.fromkeys(pairs, 0.0)
    squares = dict.fromkeys(finetunes, 0.0)
    for name in _comparable(base, finetunes):
        origin = base[name].to(torch.float64)
        moved = {task: tune[name].to(torch.float64) - origin for task, tune in finetunes.items()}
        for task, vector in moved.items():
            squares[task] += float(vector.square().sum())
        for one, other in pairs:
            product = moved[one] * moved[other]
            inner[one, other] += float(product.sum())
            absolute[one, other] += float(product.abs().sum())
    found = {}
    for one, other in pairs:
        scale, overlap = (squares[one] * squares[other]) ** 0.5, absolute[one, other]
        found[one, other] = Overlap(
            inner[one, other] / scale if scale > 0 else float("nan"),
            (overlap - inner[one, other]) / (2 * overlap) if overlap > 0 else float("nan"),
        )
    return found


def transfers_of(losses: np.ndarray, base: Sequence[float]) -> np.ndarray:
    """`[T, T]`, entry `[s, t]` is the transfer from `s` to `t`; NaN where `t`'s own finetuning brought nothing.

    Args:
        losses: `[T, T]`, row `s` has the losses of task `s`'s finetune on every task.
        base: `[T]`, losses of the base.

    >>> transfers_of(np.array([[0.5, 1.2], [0.9, 0.6]]), [1.0, 1.0]).round(2).tolist()
    [[1.0, -0.5], [0.2, 1.0]]
    """
    start, found = np.asarray(base, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    own = start - np.diagonal(found)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(own > 0, (start - found) / np.where(own > 0, own, 1.0), np.nan)


def tasks_conflict(
    tasks: Sequence[str],
    transfers: np.ndarray | None,
    overlaps: Mapping[tuple[str, str], Overlap] | None = None,
    *,
    measured: bool = False,
) -> tuple[Diagnosis, ...]:
    """One diagnosis for each pair of tasks of which one harms the other, or whose task vectors oppose each other.

    Args:
        tasks: `[T]`.
        transfers: `[T, T]`, from row to column; `None` where no losses are known.
        overlaps: of the task vectors.
        measured: whether transfers come from measured losses.
    """
    found = []
    for i, j in combinations(range(len(tasks)), 2):
        pair = (tasks[i], tasks[j])
        overlap = (overlaps or {}).get(pair)
        between = {} if transfers is None else {(i, j): float(transfers[i, j]), (j, i): float(transfers[j, i])}
        diagnosis = _diagnosis(tasks, pair, overlap, between, measured)
        if diagnosis is not None:
            found.append(diagnosis)
    return tuple(found)


def _diagnosis(
    tasks: Sequence[str],
    pair: tuple[str, str],
    overlap: Overlap | None,
    between: Mapping[tuple[int, int], float],
    measured: bool,
) -> Diagnosis | None:
    evidence: dict[str, float] = {}
    seen = []
    if overlap is not None and np.isfinite(overlap.cosine):
        evidence |= {"cosine": overlap.cosine, "opposed": overlap.opposed}
        if overlap.cosine < OPPOSED:
            seen.append(f"their task vectors oppose each other (cosine {overlap.cosine:.2f})")
    known = {places: transfer for places, transfer in between.items() if np.isfinite(transfer)}
    for (one, other), transfer in known.items():
        evidence[f"transfer to {tasks[other]}"] = transfer
        if transfer < HARM:
            seen.append(_harm(tasks[one], tasks[other], transfer, measured))
    if not seen:
        return None
    grave = measured and any(transfer < RUIN for transfer in known.values())
    message = f"{pair[0]} and {pair[1]} conflict: " + "; ".join(seen)
    return Diagnosis("conflict", "warning" if grave else "note", message, REMEDY, evidence, pair)


def _harm(one: str, other: str, transfer: float, measured: bool) -> str:
    verb = "costs" if measured else "is predicted to cost"
    return f"finetuning on {one} {verb} {other} {-transfer:.2g} times as much as its own finetuning brought it"


def _comparable(base: Params, finetunes: Mapping[str, Params]) -> Iterator[str]:
    """Names of the floating-point tensors that every finetune has with the base's shape."""
    for name in base:
        spec = spec_of(base, name)
        same = all(name in tune and spec_of(tune, name).shape == spec.shape for tune in finetunes.values())
        if spec.is_mergeable and same:
            yield name
