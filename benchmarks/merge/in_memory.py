"""Merges in memory, as a fraction of the bandwidth that a copy reaches on the same machine in the same minute."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from measuring import seconds_of
from torch import Tensor

from paretomerge.merging import Averaging, MergeRule, PosteriorMerge, ResidentMerge, collect_inputs, merge_blocks
from paretomerge.posteriors import Diagonal

TASKS = 4
WEIGHTINGS = 32
TENSORS = 10  # of a model, so that blocks have the size of a large layer


def measure_in_memory(parameters: int, many: int, repeats: int, device: str = "cpu") -> dict[str, Any]:
    """Averaging and diagonal merges of `parameters` float32 numbers, and 32 weightings of `many` in one sweep."""
    one, several = _finetunes(parameters, device), _finetunes(many, device)
    precisions = [{name: torch.rand_like(values) + 0.1 for name, values in tune.items()} for tune in one]
    posteriors = {str(t): Diagonal(tune, h) for t, (tune, h) in enumerate(zip(one, precisions, strict=True))}
    weights = torch.full((TASKS,), 1 / TASKS, dtype=torch.float64)
    grid = torch.rand(WEIGHTINGS, TASKS, dtype=torch.float64)
    grid /= grid.sum(1, keepdim=True)
    plain = {str(t): tune for t, tune in enumerate(one)}
    out = {
        name: torch.empty(WEIGHTINGS, *values.shape, device=device, dtype=values.dtype)
        for name, values in several[0].items()
    }
    inputs = collect_inputs({str(t): tune for t, tune in enumerate(several)})

    def sweep() -> None:
        for _ in merge_blocks(inputs, grid, Averaging(), out):
            pass

    return {
        "parameters": parameters,
        "averaging": _fraction(
            _in_place(plain, Averaging(), weights, device), (TASKS + 1) * 4 * parameters, repeats, one
        ),
        "diagonal": _fraction(
            _in_place(posteriors, PosteriorMerge(), weights, device), (2 * TASKS + 1) * 4 * parameters, repeats, one
        ),
        "sweep": {
            "parameters": many,
            "weightings": WEIGHTINGS,
            **_fraction(sweep, (TASKS + WEIGHTINGS) * 4 * many, repeats, one),
        },
    }


def _in_place(posteriors: Any, rule: MergeRule, weights: Tensor, device: str) -> Callable[[], None]:
    resident = ResidentMerge.of(posteriors, rule=rule, device=device)
    params = resident.new_params()
    return lambda: resident.merge_into(params, weights)


def _finetunes(parameters: int, device: str) -> list[dict[str, Tensor]]:
    size = parameters // TENSORS
    return [{f"w{n}": torch.randn(size, device=device) for n in range(TENSORS)} for _ in range(TASKS)]


def _fraction(
    action: Callable[[], None], traffic: int, repeats: int, models: list[dict[str, Tensor]]
) -> dict[str, float]:
    """`traffic` bytes at the speed of a copy, over what the action takes; copies and actions in turns."""
    source, target = list(models[0].values()), list(models[1].values())
    moved = 2 * sum(tensor.numel() * 4 for tensor in source)
    kept = [tensor.clone() for tensor in target]

    def copy() -> None:
        for one, other in zip(source, kept, strict=True):
            other.copy_(one)

    action()
    copy()
    taken, copies = [], []
    for _ in range(repeats):
        copies.append(_timed(copy, source[0].device))
        taken.append(_timed(action, source[0].device))
    bandwidth = moved / statistics.median(copies)
    return {
        "seconds": round(statistics.median(taken), 5),
        "copy_gb_per_second": round(bandwidth / 1e9, 2),
        "fraction_of_copy": round(traffic / bandwidth / statistics.median(taken), 3),
    }


def _timed(action: Callable[[], None], device: torch.device) -> float:
    def whole() -> None:
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return seconds_of(whole)
