"""Records a real landscape: per-example losses of task-arithmetic merges over a box of scaling coefficients.

    python -m benchmarks.fronts.record --setting digits --seed 0 --out DIR         # a minute or two
    python -m benchmarks.fronts.record --setting digits-four --seed 0 --out DIR    # the same with a fourth task
    python -m benchmarks.fronts.record --setting sentiment --seed 0 --out DIR      # half an hour of one core

Searches are then compared on an interpolation of what was recorded (see `landscapes.py`), so that a search costs
no forward passes, and evaluation noise is real: it comes from resampling the recorded examples. The same command
continues an interrupted recording. Beside the losses stands what posteriors predict of them: a quadratic in the
coefficients for every task, from one expansion at the average of the finetunes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from benchmarks.fronts.digits import turned_digits
from benchmarks.posteriors.settings import Setting, sentiment
from scipy.stats import qmc

from paretomerge.curvature import FitSubspace, fit_curvatures
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.types import Params

SETTINGS: dict[str, Callable[[Path, int], Setting]] = {
    "digits": partial(turned_digits, tasks=3),
    "digits-four": partial(turned_digits, tasks=4),
    "sentiment": sentiment,
}
UPPER = 1.0
"""The box is `[0, 1]` per task, as in MAP (Li et al., 2024)."""
CHUNK = 20
SOBOL = {2: 60, 3: 150, 4: 300}
FACES = 16


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=sorted(SETTINGS), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="where trainings are, and recordings go")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    setting = SETTINGS[chosen.setting](chosen.out, chosen.seed)
    folder = chosen.out / "landscapes" / f"{chosen.setting}-seed{chosen.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=chosen.setting == "sentiment", cache_enabled=False):
        record(setting, folder)


def record(setting: Setting, folder: Path) -> None:
    """`predicted.npz`, and one file of losses `[points, tasks, examples]` per chunk of points."""
    if not (folder / "predicted.npz").exists():
        curvatures, gradients, constants, cost = predicted_quadratics(setting)
        np.savez(folder / "predicted.npz", A=curvatures, b=gradients, e=constants, gradient_passes=cost)
    points = design(len(setting.problem.tasks))
    for start in range(0, len(points), CHUNK):
        place = folder / f"losses-{start:04d}.npz"
        if place.exists():
            continue
        began = time.perf_counter()
        chunk = points[start : start + CHUNK]
        losses = np.stack([example_losses(setting, merged(setting, row)) for row in chunk])
        temporary = place.with_suffix(".part")
        with temporary.open("wb") as file:
            np.savez_compressed(file, points=chunk, losses=losses.astype(np.float32))
        temporary.rename(place)
        print(f"{place}: {(time.perf_counter() - began) / len(chunk):.2f} s per model", flush=True)


def design(tasks: int) -> np.ndarray:
    """Three levels of every coefficient, Sobol points inside, and Sobol points on every face where one is zero."""
    levels = np.array(list(product((0.0, 0.5, 1.0), repeat=tasks)))
    inside = qmc.Sobol(tasks, seed=0).random(SOBOL[tasks])
    faces = [
        np.insert(qmc.Sobol(tasks - 1, seed=1 + k).random(FACES), k, 0.0, axis=1) for k in range(tasks) if tasks > 2
    ]
    return UPPER * np.concatenate([levels, inside, *faces])


def merged(setting: Setting, coefficients: np.ndarray) -> Params:
    """`θ_0 + Σ_t c_t (θ_t - θ_0)`."""
    return {
        name: tensor
        + sum(
            float(c) * (finetune[name] - tensor)
            for c, finetune in zip(coefficients, setting.finetunes.values(), strict=True)
        )
        if tensor.is_floating_point()
        else tensor
        for name, tensor in setting.base.items()
    }


def example_losses(setting: Setting, params: Params) -> np.ndarray:
    """`[tasks, examples]`, validation examples first, then test examples."""
    rows = []
    for task in setting.problem.tasks:
        parts = [SupervisedEvaluator(setting.problem, split)(params, task)["loss"] for split in ("validation", "test")]
        rows.append(torch.cat(parts).float().numpy())
    return np.stack(rows)


def predicted_quadratics(setting: Setting) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """`A [T, T, T]`, `b [T, T]`, `e [T]` of `½cᵀA_t c + b_tᵀc + e_t`: losses on training examples, expanded once."""
    fit = FitSubspace("model", enrich="none", centres=1, examples=setting.examples)
    curvatures = fit_curvatures(setting.problem, setting.base, setting.finetunes, fit, "training", setting.seed)
    losses = list(curvatures.losses.values())
    A = np.stack([loss.curvature.precision.numpy() for loss in losses])
    b = np.stack([-loss.curvature.precision_mean.numpy() for loss in losses])
    return A, b, np.array([loss.offset for loss in losses]), curvatures.ledger.gradient_passes


if __name__ == "__main__":
    main()
