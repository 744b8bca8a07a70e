"""Exporting a merge of LoRA adapters as one LoRA adapter: what the merge changes, on the layers they change.

    Δ = θ - θ_0 ≈ s·B·A   on every target,   s = 1

Where the merge is linear in the task vectors of a tensor (averages, sums, task arithmetic, subspaces of task vectors,
with any weights per group), `B` and `A` are the tasks' own, side by side: exact, of rank `Σ_t r_t` at most. Anything
else is cut off at the smallest rank that is near enough. The relative error `‖Δ - B·A‖ / ‖Δ‖` over all tensors is in
the manifest.

Memory is one tensor of base and merge in float64, and the adapter.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import Checkpoint, write_adapter
from paretomerge.errors import CheckpointError
from paretomerge.exports.adapter_plan import AdapterPlan, Target, plan_adapter
from paretomerge.exports.card import ModelCard, render_card
from paretomerge.exports.checkpoint import CARD_FILE, blocks_of, manifest_of, texts_and_files
from paretomerge.exports.factors import factorise
from paretomerge.exports.side_files import is_tokenizer_file
from paretomerge.types import FrontPoint, Params

TOLERANCE = 1e-3


@dataclass(frozen=True)
class AdapterExport:
    """An adapter that was written.

    Args:
        folder: where it is.
        ranks: module to its rank.
        error: `‖Δ - B·A‖ / ‖Δ‖` over all tensors, those that it leaves out included.
        worst: the module with the largest error of its own, and that error.
        is_exact: whether the merge was linear in the task vectors everywhere, and nothing was cut off.
        left_out: names of tensors that the merge changes and the adapter does not.
    """

    folder: Path
    ranks: Mapping[str, int]
    error: float
    worst: tuple[str, float]
    is_exact: bool
    left_out: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """The largest rank of a module."""
        return max(self.ranks.values(), default=0)


@dataclass(eq=False)
class _Collected:
    """What has been gathered of the merge, tensor by tensor."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, float] = field(default_factory=dict)
    squared_change: float = 0.0
    squared_error: float = 0.0
    is_exact: bool = True
    numbers: int = 0  # in the matrices
    replaced: int = 0  # in the weights that they change

    @property
    def error(self) -> float:
        """Relative, over all tensors."""
        return math.sqrt(self.squared_error / self.squared_change) if self.squared_change else 0.0


def export_adapter(
    directory: str | os.PathLike[str],
    merged: Params | Iterable[tuple[str, Tensor]],
    *,
    base: Checkpoint,
    finetunes: Mapping[str, Checkpoint],
    card: ModelCard,
    point: FrontPoint | None = None,
    rank: int | None = None,
    tolerance: float = TOLERANCE,
    dtype: torch.dtype = torch.float32,
    overwrite: bool = False,
) -> AdapterExport:
    """Write a merge as a LoRA adapter on its base, with model card and manifest; peft reads it.

    Give the merge in float32, whatever the dtype of the base: rounded to half precision, a small change is no longer
    of low rank.

    Args:
        directory: the folder to make.
        merged: the merged parameters, or pairs `(name, tensor)`, with all names of the base that are merged.
        base: the model that the adapters change.
        finetunes: task to adapter, opened with `open_checkpoint`; they say which layers are changed, and how linear
            merges are written exactly.
        card: method, settings and names for the model card.
        point: the point of the front that was chosen.
        rank: the largest rank of every module, whatever error that leaves.
        tolerance: without a rank, the largest relative error of a module whose change has no exact form.
        dtype: of the matrices.
        overwrite: replace an adapter or checkpoint that was written there by paretomerge.

    Raises:
        CheckpointError: a finetune that is no adapter; a merge that changes other tensors too, or that no low rank is
            near; the target is not empty.
        StorageError: the disk refused; nothing half-written is left.
    """
    if (rank is not None and rank < 1) or not 0 <= tolerance < 1:
        raise CheckpointError(f"an adapter has a rank of at least 1 and a tolerance in [0, 1), got {rank}, {tolerance}")
    plan = plan_adapter(base, finetunes)
    found = _collect(plan, blocks_of(merged), base, rank, tolerance, dtype)
    _require_representable(found, rank, tolerance)
    worst = max(found.errors.items(), key=lambda item: item[1], default=("", 0.0))
    exact = found.is_exact and not found.left_out
    facts = {
        "ranks": found.ranks,
        "relative_error": found.error,
        "worst": {"module": worst[0], "relative_error": worst[1]},
        "exact": exact,
        "left_out": sorted(found.left_out),
    }
    texts, files = texts_and_files(card, [file for file in base.side_files if is_tokenizer_file(file)])
    folder = write_adapter(
        directory,
        found.tensors,
        plan.config(found.ranks, card.base if "/" in card.base else ""),
        side_files=files,
        texts={**texts, CARD_FILE: _card_text(card, base, point, found, worst, exact)},
        manifest=manifest_of("merged adapter", card, base, point) | {"adapter": facts},
        overwrite=overwrite,
    )
    return AdapterExport(folder, found.ranks, found.error, worst, exact, tuple(sorted(found.left_out)))


def _collect(
    plan: AdapterPlan,
    merged: Iterator[tuple[str, Tensor]],
    base: Checkpoint,
    rank: int | None,
    tolerance: float,
    dtype: torch.dtype,
) -> _Collected:
    found = _Collected()
    given = set()
    for name, tensor in merged:
        given.add(name)
        if name not in base:
            raise CheckpointError(f"the merge has the tensor {name!r}, which the base has not: is it another model?")
        if not base.spec(name).is_mergeable:
            continue
        before = base[name].to(torch.float64)
        if tensor.shape != before.shape:
            raise CheckpointError(
                f"{name!r} has shape {list(tensor.shape)} in the merge and {list(before.shape)} in the base"
            )
        change = tensor.detach().to(torch.float64) - before
        # Each finetune was rounded, and their sum once or twice more.
        noise = 2 * torch.finfo(tensor.dtype).eps * float(torch.linalg.norm(tensor.double()))
        if name in plan.targets:
            _add_target(found, plan.targets[name], change, noise, rank, tolerance, dtype)
        elif name in plan.whole:
            found.tensors[plan.whole[name]] = tensor.detach().to(base.spec(name).dtype).clone()
        elif (length := float(torch.linalg.norm(change))) > noise:
            found.left_out[name] = length
            found.squared_change += length**2
            found.squared_error += length**2
    missing = [name for name in (*plan.targets, *plan.whole) if name not in given]
    if missing:
        raise CheckpointError(f"the merge lacks {missing[0]!r}, which the adapters change: give all of its tensors")
    return found


def _add_target(
    found: _Collected,
    target: Target,
    change: Tensor,
    noise: float,
    rank: int | None,
    tolerance: float,
    dtype: torch.dtype,
) -> None:
    change = target.matrix(change)
    length = float(torch.linalg.norm(change))
    if length == 0:
        return  # this layer stays as in the base
    factors = factorise(change, target.factors(), error=tolerance * length, rounding=noise, rank=rank)
    rounded = (factors.up.to(dtype).double(), factors.down.to(dtype).double())
    missed = float(torch.linalg.norm(change - rounded[0] @ rounded[1]))
    found.tensors |= target.named(factors, dtype)
    found.ranks[target.module] = factors.rank
    found.errors[target.module] = missed / length
    found.squared_change += length**2
    found.squared_error += missed**2
    found.is_exact &= factors.is_exact
    if not factors.is_exact:
        found.numbers += factors.rank * target.width
        found.replaced += change.numel()


def _require_representable(found: _Collected, rank: int | None, tolerance: float) -> None:
    if not found.tensors:
        raise CheckpointError("the merge is the base itself: there is nothing for an adapter to hold")
    if rank is not None:
        return
    lost = math.sqrt(sum(length**2 for length in found.left_out.values()))
    if lost > tolerance * math.sqrt(found.squared_change):
        share = lost / math.sqrt(found.squared_change)
        raise CheckpointError(
            f"the merge also moves {len(found.left_out)} tensors that no adapter changes, first "
            f"{next(iter(found.left_out))!r} ({share:.0%} of its whole move): its posteriors look beyond the adapters "
            "(along gradients of all weights). Export the checkpoint, fit with  settings: {enrich: none}  in the "
            "recipe's posterior, or give a rank (--rank 16), which leaves these moves out and states the error"
        )
    if found.numbers > found.replaced:
        raise CheckpointError(
            f"no low rank is within {tolerance:g} of this merge: the adapter would be larger than the weights that it "
            f"changes (rank {max(found.ranks.values())}). Export the checkpoint, allow more (--tolerance 0.05), or "
            "give a rank (--rank 16), and the error is stated"
        )


def _card_text(
    card: ModelCard,
    base: Checkpoint,
    point: FrontPoint | None,
    found: _Collected,
    worst: tuple[str, float],
    exact: bool,
) -> str:
    cut = "" if exact else "the merge was cut to a low rank"
    return render_card(card, base, point, adapter=_described(found, worst, exact), beforehand=cut)


def _described(found: _Collected, worst: tuple[str, float], exact: bool) -> str:
    ranks = sorted(set(found.ranks.values()))
    span = (f"{ranks[0]}" if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}") if ranks else "0"
    if exact:
        made = "the adapters of the tasks side by side: up to rounding, the merge itself"
    else:
        made = f"near the merge: {found.error:.2g} of its change is missing (at most {worst[1]:.2g}, in `{worst[0]}`)"
    left = f"; {len(found.left_out)} further tensors that the merge moves are as in the base" if found.left_out else ""
    return f"A LoRA adapter of rank {span} on {len(found.ranks)} layers, {made}{left}."
