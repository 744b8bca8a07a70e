"""Records previews and truths: per-example scores of merged and of jointly finetuned models at the same weightings.

    python -m benchmarks.joint.record --setting digits --out DIR          # minutes per seed where trainings are there
    python -m benchmarks.joint.record --setting sentiment --out DIR       # an hour of one core
    python -m benchmarks.joint.recalibrate --out DIR

The weightings are those of the setting and then its corners, where the truth is the finetune itself. DIR is the folder
of `benchmarks/posteriors/run.py`, whose trainings are used; what is missing is trained. Every set of models is one file
per seed, so the same command continues an interrupted recording.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from benchmarks.posteriors.settings import SETTINGS, Setting

from paretomerge import Averaging, FitIsotropic, FitSubspace
from paretomerge.curvature import FitDiagonal, fit_curvatures
from paretomerge.evaluation import evaluate_one, supervised_objectives
from paretomerge.stages.fitting.previews import PreviewMethod, coordinates_loss, merged_models
from paretomerge.types import Params

SEEDS = {"digits": tuple(range(10)), "sentiment": (0, 1, 2)}


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=sorted(SETTINGS), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds or SEEDS[chosen.setting]:
        folder = chosen.out / "verify" / f"{chosen.setting}-seed{seed}"
        if all((folder / f"{name}.npz").exists() for name in ("truth", "again", *methods(1))):
            continue
        setting = SETTINGS[chosen.setting](chosen.out, seed)
        folder.mkdir(parents=True, exist_ok=True)
        # Without the cache of cast weights: it would not notice that a model is overwritten by the next one.
        with torch.autocast("cpu", torch.bfloat16, enabled=chosen.setting == "sentiment", cache_enabled=False):
            record(setting, folder)


def methods(examples: int) -> dict[str, PreviewMethod]:
    """The previews, each with its family's own damping."""
    return {
        "averaging": PreviewMethod("averaging", FitIsotropic(), Averaging()),
        "diagonal": PreviewMethod(
            "diagonal", FitDiagonal(examples=examples), strengths=(FitDiagonal(examples=examples).damping,)
        ),
        "subspace": PreviewMethod(
            "subspace",
            FitSubspace(examples=examples, gradient_examples=examples),
            strengths=(FitSubspace().damping,),
        ),
    }


def record(setting: Setting, folder: Path) -> None:
    """One file per set of models: truths (corners last), the same with another seed, and each method's previews."""
    corners = np.eye(len(setting.problem.tasks))
    weights = np.concatenate([setting.weights, corners])
    save(setting, folder / "truth.npz", weights, [*setting.joint, *setting.finetunes.values()])
    save(setting, folder / "again.npz", weights[: len(setting.again)], setting.again)
    for name, method in methods(setting.examples).items():
        if (folder / f"{name}.npz").exists():
            continue
        started = time.perf_counter()
        curvatures = fit_curvatures(
            setting.problem, setting.base, setting.finetunes, method.fit, method.split, setting.seed
        )
        strength = method.strengths[0]
        more = {"predicted": coordinates_loss(curvatures, strength, weights)} if curvatures.losses else {}
        save(
            setting,
            folder / f"{name}.npz",
            weights,
            merged_models(setting.base, method, curvatures, strength, weights),
            **more,
        )
        print(f"{folder.name} {name}: {time.perf_counter() - started:.0f} s", flush=True)


def save(setting: Setting, place: Path, weights: np.ndarray, models: Iterable[Params], **more: np.ndarray) -> None:
    """Objective → per-example scores `[models, examples]`, and the weightings."""
    if place.exists():
        return
    objectives = supervised_objectives(setting.problem)
    found = [evaluate_one(model, setting.evaluator, objectives).examples for model in models]
    columns = {objective.name: np.stack([one[objective.name] for one in found]) for objective in objectives}
    temporary = place.with_suffix(".part")
    with temporary.open("wb") as file:
        np.savez_compressed(
            file, weights=weights, **more, **{name: column.astype(np.float32) for name, column in columns.items()}
        )
    temporary.rename(place)


if __name__ == "__main__":
    main()
