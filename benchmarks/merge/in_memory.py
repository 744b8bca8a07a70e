"""Merges in memory, as a fraction of the bandwidth that a copy reaches on the same machine in the same minute."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from benchmarks.merge.measuring import seconds_of
from torch import Tensor

from paretomerge.merging import Averaging, PosteriorMerge, ResidentMerge, collect_inputs, merge_blocks
from paretomerge.posteriors import Diagonal

TASKS = 4
WEIGHTINGS = 32
TENSORS = 10  # of a model, so that blocks have the size of a large layer


def measure_in_memory(parameters: int, many: int, repeats: int, device: str = "cpu") -> dict[str, Any]:
    """Averaging and diagonal merges of `parameters` float32 numbers, and 32 weightings of `many` in one sweep."""
    threads = torch.get_num_threads()
    found: dict[str, Any] = {"parameters": parameters, "swept": many, "weightings": WEIGHTINGS}
    fastest = 0.0
    for count in sorted({1, threads}) if device == "cpu" else [threads]:
        torch.set_num_threads(count)
        rows = {
            "averaging": _averaging(parameters, repeats, device),
            "diagonal": _diagonal(parameters, repeats, device),
            "sweep": _sweep(many, repeats, device),
        }
        # More threads do not always copy faster: the yardstick is the fastest copy seen with that many or fewer, of
        # models that no cache holds.
        fastest = max(fastest, *(rows[what]["copy_gb_per_second"] for what in ("averaging", "diagonal")))
        for row in rows.values():
            row["fraction_of_copy"] = round(row["traffic_gb_per_second"] / fastest, 3)
        plural = "s" if count > 1 else ""
        found[f"{count} thread{plural}" if device == "cpu" else device] = {**rows, "copy_gb_per_second": fastest}
    torch.set_num_threads(threads)
    return found


def _averaging(parameters: int, repeats: int, device: str) -> dict[str, float]:
    models = _finetunes(parameters, device)
    resident = ResidentMerge.of({str(t): tune for t, tune in enumerate(models)}, rule=Averaging(), device=device)
    return _fraction(_in_place(resident), (TASKS + 1) * 4 * parameters, repeats, models)


def _diagonal(parameters: int, repeats: int, device: str) -> dict[str, float]:
    models = _finetunes(parameters, device)
    precisions = [{name: values.square() + 0.1 for name, values in tune.items()} for tune in models]
    posteriors = {str(t): Diagonal(tune, h) for t, (tune, h) in enumerate(zip(models, precisions, strict=True))}
    resident = ResidentMerge.of(posteriors, rule=PosteriorMerge(), device=device)
    return _fraction(_in_place(resident), (2 * TASKS + 1) * 4 * parameters, repeats, models)


def _sweep(parameters: int, repeats: int, device: str) -> dict[str, float]:
    models = _finetunes(parameters, device)
    grid = torch.rand(WEIGHTINGS, TASKS, dtype=torch.float64)
    grid /= grid.sum(1, keepdim=True)
    inputs = collect_inputs({str(t): tune for t, tune in enumerate(models)})
    out = {
        name: torch.empty(WEIGHTINGS, *values.shape, device=device, dtype=values.dtype)
        for name, values in models[0].items()
    }

    def sweep() -> None:
        for _ in merge_blocks(inputs, grid, Averaging(), out):
            pass

    return _fraction(sweep, (TASKS + WEIGHTINGS) * 4 * parameters, repeats, models)


def _in_place(resident: ResidentMerge) -> Callable[[], None]:
    params = resident.new_params()
    weights = torch.full((TASKS,), 1 / TASKS, dtype=torch.float64)
    return lambda: resident.merge_into(params, weights)


def _finetunes(parameters: int, device: str) -> list[dict[str, Tensor]]:
    size = parameters // TENSORS
    return [{f"w{n}": torch.randn(size, device=device) for n in range(TENSORS)} for _ in range(TASKS)]


def _fraction(
    action: Callable[[], None], traffic: int, repeats: int, models: list[dict[str, Tensor]]
) -> dict[str, float]:
    """What the action moves per second (median), and what a copy of as many numbers does (fastest); in turns."""
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
    bandwidth = moved / min(copies)
    return {
        "seconds": round(statistics.median(taken), 5),
        "copy_gb_per_second": round(bandwidth / 1e9, 2),
        "traffic_gb_per_second": round(traffic / statistics.median(taken) / 1e9, 2),
    }


def _timed(action: Callable[[], None], device: torch.device) -> float:
    def whole() -> None:
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return seconds_of(whole)
