"""What one coefficient per parameter group and task is worth: the closed-form front against any over T coefficients.

    python -m benchmarks.fronts.groups --out DIR        # DIR as given to record.py; minutes of one core

Digits, five seeds, mean test losses of merged models, three tasks. The front over groups minimises weighted sums of
what the posteriors predict, in a box: no merged model was evaluated for it. It is held against the best there is over
one coefficient per task: a dense search of the recorded landscape on the very losses that both are judged by, which no
real search can see.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from benchmarks.posteriors.settings import Setting, digits
from benchmarks.publishing import machine
from scipy.interpolate import RBFInterpolator

from paretomerge.curvature import FitSubspace, fit_curvatures
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.fronts import closed_form_front, hypervolume, is_nondominated
from paretomerge.fronts.hypervolume import beyond_worst
from paretomerge.posteriors import relative_strength
from paretomerge.types import simplex_grid

HERE = Path(__file__).parent

DIVISIONS = 10
RIDGES = (0.03, 0.1, 0.3)
VALIDATION = 300
"""Recordings hold validation examples first, then test examples."""


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    rows = [measured(digits(out, seed), out / "landscapes" / f"digits-seed{seed}") for seed in range(5)]
    results = {**machine(), "seeds": rows}
    for row in rows:
        print(json.dumps(row))
    (HERE.parent / "results" / "fronts-groups.json").write_text(json.dumps(results, indent=1) + "\n")


def measured(setting: Setting, recording: Path) -> dict[str, float]:
    """Hypervolumes up to one reference point, relative to the dense search over three coefficients."""
    weights = simplex_grid(3, DIVISIONS)
    dense = densely_searched(recording)
    fronts = {f"groups, ridge {ridge:g}": losses(setting, grouped(setting, weights, ridge)) for ridge in RIDGES}
    corner = beyond_worst(np.concatenate([dense, *fronts.values()]))
    whole = hypervolume(dense, corner)
    return {name: hypervolume(front, corner) / whole for name, front in fronts.items()}


def densely_searched(recording: Path) -> np.ndarray:
    """Non-dominated test losses over the box of three coefficients, 41 levels each."""
    chunks = [np.load(file) for file in sorted(recording.glob("losses-*.npz"))]
    points = np.concatenate([chunk["points"] for chunk in chunks])
    means = np.concatenate([chunk["losses"] for chunk in chunks])[:, :, VALIDATION:].mean(axis=2)
    axis = np.linspace(0, 1, 41)
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    found = RBFInterpolator(points, means, kernel="quintic")(grid)
    return found[is_nondominated(found)]


def grouped(setting: Setting, weights: np.ndarray, ridge: float) -> list[dict[str, torch.Tensor]]:
    """Models on the closed-form front over one coefficient per layer and task, in the box `[0, 1]`."""
    fit = FitSubspace("layer", enrich="none", centres=1, examples=setting.examples)
    curvatures = fit_curvatures(setting.problem, setting.base, setting.finetunes, fit, "training", setting.seed)
    tasks = list(curvatures.losses)
    frame = curvatures.bare[tasks[0]]
    strength = relative_strength(dict(curvatures.bare), ridge)  # type: ignore[arg-type]
    added = np.diag(np.broadcast_to(np.asarray(strength, dtype=float), (len(frame.basis),)))
    A = np.stack([loss.curvature.precision.numpy() + added for loss in curvatures.losses.values()])
    pulled = np.stack([added @ frame.basis.corner(task).numpy() for task in tasks])
    b = np.stack([-loss.curvature.precision_mean.numpy() for loss in curvatures.losses.values()]) - pulled
    points, _ = closed_form_front(A, b, np.zeros(len(tasks)), weights, bounds=(0.0, 1.0))
    return [{**setting.base, **frame.at(torch.from_numpy(row))} for row in points]


def losses(setting: Setting, models: list[dict[str, torch.Tensor]]) -> np.ndarray:
    """Mean test losses `[K, 3]`."""
    evaluator = SupervisedEvaluator(setting.problem, "test")
    return np.array([[float(evaluator(m, t)["loss"].double().mean()) for t in setting.problem.tasks] for m in models])


if __name__ == "__main__":
    main()
