"""How many joint steps a merge saves: joint finetuning from the base, from the average, and from the posteriors' merge.

    python -m benchmarks.joint.warm_start --setting digits --out DIR        # half an hour of one core
    python -m benchmarks.joint.warm_start --setting sentiment --out DIR     # hours of one core
    python -m benchmarks.joint.publish --out DIR

Every run is a whole training with its own schedule (warm-up, decay) of that many steps, the recipe of the finetunes
otherwise. What it is held against is joint finetuning from the base with all steps, and its noise: the same with
another seed. DIR is the folder of `benchmarks/posteriors/run.py`, whose trainings are used. Each seed is one file per
weighting and start, so the same command continues an interrupted run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.posteriors.settings import SETTINGS, Setting

from paretomerge import Averaging, FitIsotropic, FitSubspace, finetune
from paretomerge.checkpoints.atomic import write_text
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages import PreviewMethod, preview_models
from paretomerge.types import Params

SEEDS = {"digits": (0, 1, 2, 3, 4), "sentiment": (0, 1, 2)}
STEPS = {"digits": (5, 10, 20, 40, 60, 100, 140), "sentiment": (25, 75)}
"""Of 200 and of 250."""
WEIGHTINGS = {"digits": ((2, 2, 2), (4, 1, 1), (1, 4, 1), (1, 1, 4)), "sentiment": ((8, 8, 8),)}
STARTS = ("base", "average", "merge")
RATES = {"digits": (1.0,), "sentiment": (1.0, 0.3, 0.1)}
"""Of warm starts; from the base it is the recipe's own. On digits chosen among 1, 0.5, 0.25 with seed 100."""
LONG = {"digits": (200, 400, 800), "sentiment": ()}
"""Trainings beyond the recipe's length, at the first weighting: whether the head start lasts."""


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=sorted(SETTINGS), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--long", action="store_true", help="trainings longer than the recipe's, at one weighting")
    parser.add_argument("--rates", type=float, nargs="+", help="peak learning rates of warm starts, times the recipe's")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds or SEEDS[chosen.setting]:
        measure_seed(chosen.setting, chosen.out, seed, chosen.rates or RATES[chosen.setting], chosen.long)


def measure_seed(name: str, out: Path, seed: int, rates: Sequence[float], long: bool) -> None:
    """Every weighting, start and length of one seed."""
    setting = SETTINGS[name](out, seed)
    folder = out / ("warm_start_long" if long else "warm_start") / name / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    lengths = LONG[name] if long else STEPS[name]
    rows = [np.array(parts) / sum(parts) for parts in WEIGHTINGS[name]][: 1 if long else None]
    places = [int(np.argmin(np.abs(setting.weights - row).sum(axis=1))) for row in rows]
    started = time.perf_counter()
    fit = FitSubspace(examples=setting.examples)
    methods = {
        "average": PreviewMethod("averaging", FitIsotropic(), Averaging()),
        "merge": PreviewMethod("default", fit, strengths=(fit.damping,)),
    }
    waiting = [
        (start, number, rate)
        for number in range(len(rows))
        for start in STARTS
        for rate in (rates if start != "base" else (1.0,))
        if not (folder / file_name(start, WEIGHTINGS[name][number], rate)).exists()
    ]
    models: dict[str, list[Params]] = {"base": [setting.base] * len(rows)}
    for start in {start for start, _, _ in waiting} - {"base"}:
        preview = preview_models(
            setting.problem, setting.base, setting.finetunes, methods[start], np.array(rows), seed=seed
        )
        models[start] = list(preview.models)
    print(f"{name} seed {seed}: starts ready after {time.perf_counter() - started:.0f} s", flush=True)
    for start, number, rate in waiting:
        found = {
            "weights": rows[number].tolist(),
            "start": start,
            "rate": rate,
            "steps": setting.recipe.steps,
            "truth": scores_of(setting, setting.joint[places[number]], rows[number]),
            "runs": list(runs(setting, models[start][number], rows[number], lengths, rate)),
        }
        if places[number] < len(setting.again):
            found["again"] = scores_of(setting, setting.again[places[number]], rows[number])
        write_text(folder / file_name(start, WEIGHTINGS[name][number], rate), json.dumps(found, indent=1))
        shown = " ".join(f"{run['steps']}:{run['scalarised']:.4f}" for run in found["runs"])
        print(f"{name} seed {seed} {rows[number].round(2)} {start} x{rate:g}: {shown}", end=" ", flush=True)
        print(f"(from base, {setting.recipe.steps}: {found['truth']['scalarised']:.4f})", flush=True)


def runs(
    setting: Setting, start: Params, row: np.ndarray, lengths: tuple[int, ...], rate: float
) -> Iterator[dict[str, Any]]:
    """The start itself, and a training of every length from it."""
    yield {"steps": 0, **scores_of(setting, start, row)}
    alpha = dict(zip(setting.problem.tasks, row.tolist(), strict=True))
    for steps in lengths:
        recipe = replace(setting.recipe, steps=steps, learning_rate=rate * setting.recipe.learning_rate)
        result = finetune(setting.problem, start, alpha, recipe, setting.first_seed)
        yield {"steps": steps, **scores_of(setting, result.params, row), "seconds": result.ledger.seconds}


def scores_of(setting: Setting, params: Params, row: np.ndarray) -> dict[str, Any]:
    """Test losses and accuracies of one model, and the weighted loss, on validation data too."""
    scores = setting.score([params], row[None])
    losses, hits = scores.select("loss").values[0], scores.select("accuracy").values[0]
    held_out = SupervisedEvaluator(setting.problem, "validation")
    known = [float(held_out(params, task)["loss"].mean()) for task in setting.problem.tasks]
    return {
        "losses": losses.tolist(),
        "accuracies": hits.tolist(),
        "scalarised": float(losses @ row),
        "validation": float(np.array(known) @ row),
    }


def file_name(start: str, parts: tuple[int, ...], rate: float) -> str:
    """One file per weighting, start and learning rate."""
    return f"{start}-{'-'.join(map(str, parts))}-rate{rate:g}.json"


if __name__ == "__main__":
    main()
