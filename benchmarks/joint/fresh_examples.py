"""Whether joint steps from a merge need examples that the finetunes have not seen (sentiment).

    python -m benchmarks.joint.fresh_examples --out DIR --seeds 0 1 2 --starts base average merge

The finetunes have seen every training example three times. Here the joint steps after the merge are taken on sentences
that no finetune has seen: those of the validation and test splits that no number of this benchmark is measured on, 525
per domain. Beside it the loss of every start on training and on test examples. The same command continues.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.joint.warm_start import runs, scores_of

# isort: split
from benchmarks.posteriors.settings import HELD_OUT, Setting, sentiment

from paretomerge import Averaging, FitIsotropic, FitSubspace, Problem
from paretomerge.checkpoints.atomic import write_text
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages import PreviewMethod, preview_models
from paretomerge.types import Batch, Params, Split

STEPS = (25, 60)
RATES = (1.0, 0.3)
SEEN = 300
"""Training examples of each domain whose loss is measured."""


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--starts", nargs="+", default=["base", "average", "merge"])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        folder = chosen.out / "fresh_examples" / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        waiting = [start for start in chosen.starts if not (folder / f"{start}.json").exists()]
        if waiting:
            setting = sentiment(chosen.out, seed)
            fresh = replace(setting, problem=with_fresh_examples(chosen.out, setting, seed))
            for start in waiting:
                found = measured(setting, fresh, start)
                write_text(folder / f"{start}.json", json.dumps(found, indent=1))
                print(f"seed {seed} {start}: {json.dumps(found['starts'])}", flush=True)
                for rate, rows in found["rates"].items():
                    print(f"  x{rate}", *(f"{row['steps']}:{row['scalarised']:.4f}" for row in rows), flush=True)


def measured(setting: Setting, fresh: Setting, start: str) -> dict[str, Any]:
    """One start at equal weights: its losses on seen and unseen examples, and trainings on fresh examples."""
    row = np.full(3, 1 / 3)
    params = start_of(setting, start, row)
    truth = int(np.argmin(np.abs(setting.weights - row).sum(axis=1)))
    return {
        "start": start,
        "truth": scores_of(setting, setting.joint[truth], row),
        "starts": {
            "training": seen_loss(setting, params),
            "joint training": seen_loss(setting, setting.joint[truth]),
        },
        "rates": {str(rate): list(runs(fresh, params, row, STEPS, rate)) for rate in RATES},
    }


def start_of(setting: Setting, start: str, row: np.ndarray) -> Params:
    """Where the joint steps start."""
    if start == "base":
        return setting.base
    fit = FitSubspace(examples=setting.examples)
    method = {
        "average": PreviewMethod("averaging", FitIsotropic(), Averaging()),
        "merge": PreviewMethod("default", fit, strengths=(fit.damping,)),
    }[start]
    models = preview_models(setting.problem, setting.base, setting.finetunes, method, row[None], seed=setting.seed)
    return models.models[0]


def seen_loss(setting: Setting, params: Params) -> float:
    """Mean loss on training examples, over the domains."""
    evaluator = SupervisedEvaluator(setting.problem, "training")
    rows = np.arange(SEEN)
    return float(np.mean([float(evaluator(params, task, rows)["loss"].mean()) for task in setting.problem.tasks]))


def with_fresh_examples(out: Path, setting: Setting, seed: int) -> Problem:
    """The problem whose training split is what no finetune has seen and nothing is measured on."""
    from benchmarks.sentiment_example import Texts, fetch, load_texts, sentiment_problem

    model, texts = fetch(out / "sentiment" / "assets")
    unused = {}
    for task, splits in load_texts(texts, 20240 + seed).items():
        rest = [(splits[split].texts[count:], splits[split].labels[count:]) for split, count in HELD_OUT.items()]
        together = Texts(sum((part for part, _ in rest), ()), np.concatenate([labels for _, labels in rest]))
        unused[task] = {"training": together}
    fresh, known = sentiment_problem(model, unused), setting.problem

    def data(task: str, split: Split) -> list[Batch]:
        return list((fresh if split == "training" else known).batches(task, split))

    return Problem(known.tasks, known.build, data)


if __name__ == "__main__":
    main()
