"""Previews of joint finetuning on MiniLM sentiment, held against the truth. About an hour on one CPU core.

    python examples/sentiment/run.py --out DIR

Three single-task finetunes (movie, Amazon, tweets), joint finetuning at seven weightings as the truth and at three of
them again with another seed as the noise floor; then previews from the finetunes alone. Run the same command again to
continue an interrupted run: checkpoints are kept in DIR.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from assets import fetch
from data import TASKS, load_texts
from model import by_block, probed_base, sentiment_problem

from paretomerge import (
    Averaging,
    FitDiagonal,
    FitIsotropic,
    FitSubspace,
    Problem,
    Scores,
    TrainingRecipe,
    compare_preview,
    evaluate,
    finetune,
    open_checkpoint,
)
from paretomerge.checkpoints import write_params
from paretomerge.evaluation import SupervisedEvaluator, supervised_objectives
from paretomerge.stages import PreviewMethod, preview_models

RECIPE = TrainingRecipe(
    250, examples_per_task=8, learning_rate=4e-5, warmup=0.06, mix="proportional", precision="bfloat16"
)
JOINT = np.array([[8, 8, 8], [12, 6, 6], [6, 12, 6], [6, 6, 12], [16, 4, 4], [4, 16, 4], [4, 4, 16]]) / 24
REPEATED = 3
RIDGES = (1e-2, 1e-1, 3e-1, 1.0)
EXAMPLES = 150
METHODS = (
    PreviewMethod("averaging", FitIsotropic(), Averaging()),
    PreviewMethod(
        "diagonal, empirical Fisher, at finetunes",
        FitDiagonal("empirical", examples=EXAMPLES),
        strengths=(1e-2, 1e-1, 1.0),
    ),
    PreviewMethod(
        "subspace, layers, at finetunes",
        FitSubspace("layer", "finetune", "none", 1, examples=EXAMPLES),
        strengths=RIDGES,
    ),
    PreviewMethod(
        "subspace, layers, centred", FitSubspace("layer", "centred", "none", 1, examples=EXAMPLES), strengths=RIDGES
    ),
    PreviewMethod(
        "subspace, blocks, centred", FitSubspace(by_block, "centred", "none", 1, examples=EXAMPLES), strengths=RIDGES
    ),
    PreviewMethod(
        "subspace, layers, centred twice, enriched",
        FitSubspace("layer", "centred", "scaled_gradient", 2, validated=False, damping=3e-2, examples=EXAMPLES),
        strengths=RIDGES,
    ),
)


def main() -> None:
    """Train what is missing, preview, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    model, sdist = fetch(out / "assets")
    problem = sentiment_problem(model, load_texts(sdist))
    base = kept(out / "base", lambda: probed_base(problem))
    finetunes = {
        task: trained(problem, base, out / "single" / task, row, seed=0)
        for task, row in zip(TASKS, np.eye(3), strict=True)
    }
    truth = score_all(problem, "truth", [trained(problem, base, joint(out, row, 0), row, 0) for row in JOINT], JOINT)
    again = [trained(problem, base, joint(out, row, 1), row, 1) for row in JOINT[:REPEATED]]
    floor = score_all(problem, "floor", again, JOINT[:REPEATED])
    rows = [row_of("joint finetuning, another seed", floor, truth.take(range(REPEATED)))]
    for method in METHODS:
        preview = preview_models(problem, base, finetunes, method, JOINT, progress=log)
        scores = score_all(problem, method.name, preview.models, JOINT)
        rows.append(row_of(method.name, scores, truth) | {"strength": preview.strength, **asdict(preview.ledger)})
        print(json.dumps(rows[-1]), flush=True)
    plain = next(row["loss_error"] for row in rows if row["name"] == "averaging")
    for row in rows:
        row["ratio_to_averaging"] = row["loss_error"] / plain
    (out / "results.json").write_text(json.dumps({"recipe": asdict(RECIPE), "methods": rows}, indent=2) + "\n")
    for row in rows:
        print(f"{row['name']:45s} {row['loss_error']:.4f}  {row['ratio_to_averaging']:.2f} x averaging")


def trained(problem: Problem, base: dict, folder: Path, row: np.ndarray, seed: int) -> dict:
    """The finetune with weights `row`, trained now or read back."""

    def make() -> dict:
        log(f"training {folder.parent.name}/{folder.name}")
        return finetune(problem, base, dict(zip(TASKS, row.tolist(), strict=True)), RECIPE, seed).params

    return kept(folder, make)


def joint(out: Path, row: np.ndarray, seed: int) -> Path:
    """Where a joint finetune is kept."""
    return out / f"joint-seed{seed}" / "-".join(f"{24 * weight:.0f}" for weight in row)


def kept(folder: Path, make) -> dict:
    """Parameters read from `folder`, made and written there first if it is missing."""
    if not folder.exists():
        write_params(folder, make())
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def score_all(problem: Problem, name: str, models: list, weights: np.ndarray) -> Scores:
    """Test losses and accuracies of every model."""
    log(f"test of {name}")
    evaluator = SupervisedEvaluator(problem, "test")
    return evaluate(models, weights, evaluator, supervised_objectives(problem), tasks=TASKS)


def row_of(name: str, scores: Scores, truth: Scores) -> dict:
    """One row of the table."""
    losses = compare_preview(scores.select("loss"), truth.select("loss"))
    hits = compare_preview(scores.select("accuracy"), truth.select("accuracy"))
    return {
        "name": name,
        "loss_error": losses.preview_error,
        "loss_bias": losses.bias,
        "accuracy_error": hits.preview_error,
        "rank_correlation": losses.as_dict()["rank_correlation"],
        "hypervolume_ratio": losses.hypervolume_ratio,
        "scalarised_loss": float((scores.select("loss").values * scores.weights).sum(axis=1).mean()),
    }


def log(message: str) -> None:
    """A line with the time."""
    print(time.strftime("%H:%M:%S"), message, flush=True)


if __name__ == "__main__":
    main()
