"""Do the signs of `paretomerge diagnose` tell previews that fail from previews that hold?

    python -m benchmarks.joint.diagnoses --out DIR              # half an hour of one core
    python -m benchmarks.joint.publish_diagnoses --out DIR

Digits, eight seeds: thresholds were chosen on seeds 5 to 7, and what is published is of seeds 0 to 4. DIR is the folder
of `benchmarks/posteriors/run.py`, whose trainings are used. Three families of finetunes:

    plain   as they are; joint finetuning at 13 weightings, and the corners, where the finetune itself is the truth
    fast    eight times the learning rate; joint finetuning, with that too, at the even edges and the centre
    apart   one of the three finetuned from another pretrained base: averages should fail

Each seed and family is one file, and another one with what remedies bring, so the same command continues an interrupted
recording. Errors are those of previews:
|test loss of the merge - test loss of joint finetuning|, mean over tasks. Signs see validation data only, as in a run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.joint.families import FAMILIES, Family, Method

from paretomerge import finetune, newton_correct
from paretomerge.checkpoints.atomic import write_text
from paretomerge.curvature import Curvatures, fit_curvatures
from paretomerge.diagnoses import (
    agreement_of,
    barriers_between,
    barriers_of,
    far_from_finetunes,
    path_weights,
    posterior_distance,
    predictions_disagree,
    task_vector_overlaps,
    tasks_conflict,
    transfers_of,
)
from paretomerge.diagnoses.noise import noise_variance, score_variance
from paretomerge.evaluation import Evaluation, SupervisedEvaluator, evaluate_one, shared_covariance
from paretomerge.stages.fitting.previews import PreviewMethod, merged_models
from paretomerge.types import Objective, Params, Scores

TUNED, REPORTED = (5, 6, 7), (0, 1, 2, 3, 4)
SIZES = (10, 20, 40, 80, 160)
"""Validation examples of the power study, out of 300; the test set has 500."""
REPEATS = 20
REMEDIED, JOINT_STEPS = 4, 40
"""Weightings at which remedies are tried; joint steps, of 200."""


def main() -> None:
    """Record what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[*TUNED, *REPORTED])
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = chosen.out / "diagnoses"
    folder.mkdir(parents=True, exist_ok=True)
    for what, measure in (("", record), ("remedies-", remedied)):
        for seed, name in product(chosen.seeds, FAMILIES):
            place = folder / f"{what}{name}-seed{seed}.json"
            if not place.exists():
                started = time.perf_counter()
                write_text(place, json.dumps(measure(FAMILIES[name](chosen.out, seed))))
                print(f"{place.name}: {time.perf_counter() - started:.0f} s", flush=True)


def record(family: Family) -> dict[str, Any]:
    """Everything the signs look at, what they say, and the errors of the previews."""
    problem, tasks = family.setting.problem, family.setting.problem.tasks
    validation, test = (SupervisedEvaluator(problem, split) for split in ("validation", "test"))
    truth = scored(test, family.joint, family.weights, tasks)[0]
    averages = [_average(family.finetunes, pair) for pair in combinations(tasks, 2)]
    models = [family.base, *family.finetunes.values(), *averages]
    weights = np.vstack([np.zeros(3), path_weights(3)])
    paths = scored(validation, models, weights, tasks)[0]
    stakes = [float(paths.values[0, t] - paths.values[1 + t, t]) for t in range(3)]
    found: dict[str, Any] = {
        "weights": family.weights.tolist(),
        "truth": truth.values.tolist(),
        "stakes": stakes,
        "pairs": pairs_of(family, paths),
        "methods": {},
    }
    fits: dict[str, Curvatures] = {}
    for method in family.methods:
        key = repr(method.fit)
        if key not in fits:
            fits[key] = fit_curvatures(
                problem, family.base, family.finetunes, method.fit, "training", family.setting.seed
            )
        found["methods"][method.name] = measured(family, method, fits[key], (validation, test), truth, stakes)
    return found


def measured(
    family: Family,
    method: Method,
    curvatures: Curvatures,
    evaluators: tuple[SupervisedEvaluator, SupervisedEvaluator],
    truth: Scores,
    stakes: Sequence[float],
) -> dict[str, Any]:
    """One method of one seed."""
    tasks = family.setting.problem.tasks
    preview = PreviewMethod(method.name, method.fit, method.rule, (method.strength,))
    models = [
        {**family.base, **model}
        for model in merged_models(family.base, preview, curvatures, method.strength, family.weights)
    ]
    losses = [curvatures.losses[task] for task in tasks]
    predicted = np.array([[loss.at(model) for loss in losses] for model in models])
    distances = np.array(
        [
            [posterior_distance(loss, family.finetunes[task], model) for loss, task in zip(losses, tasks, strict=True)]
            for model in models
        ]
    )
    scores, evaluations = scored(evaluators[0], models, family.weights, tasks)
    on_test = scored(evaluators[1], models, family.weights, tasks)[0]
    transfers = transfers_of(
        np.array([[loss.at(tune) for loss in losses] for tune in family.finetunes.values()]),
        [loss.at(family.base) for loss in losses],
    )
    agreements = [agreement_of(predicted[:, t], scores.values[:, t]) for t in range(len(tasks))]
    said = [
        *far_from_finetunes(tasks, family.weights, distances, stakes),
        *predictions_disagree(scores, predicted, tasks),
    ]
    return {
        "error": np.abs(on_test.values - truth.values).mean(axis=1).tolist(),
        "distances": distances.tolist(),
        "slopes": [a.slope for a in agreements],
        "correlations": [a.correlation for a in agreements],
        "levels": [a.level for a in agreements],
        "predicted_transfers": transfers.tolist(),
        "said": [each.as_dict() for each in said],
        "power": power_study(scores, evaluations, on_test) if method.name in ("averaging", "default") else None,
    }


def remedied(family: Family) -> dict[str, Any]:
    """Errors of previews before and after the remedies that warnings name, at a few weightings."""
    problem, rows = family.setting.problem, slice(0, REMEDIED)
    weights, test = family.weights[rows], SupervisedEvaluator(problem, "test")
    truth = scored(test, family.joint[rows], weights, problem.tasks)[0].values

    def error(models: Iterable[Params]) -> float:
        return float(np.abs(scored(test, models, weights, problem.tasks)[0].values - truth).mean())

    chosen = [method for method in family.methods if method.name in ("averaging", "default")]
    fits = {
        method.name: fit_curvatures(problem, family.base, family.finetunes, method.fit, "training", family.setting.seed)
        for method in chosen
    }
    flexible = fits["default"].posteriors(0.1)
    found = {}
    for method in chosen:
        fit = fits[method.name]
        preview = PreviewMethod(method.name, method.fit, method.rule, (method.strength,))
        models = [{**family.base, **m} for m in merged_models(family.base, preview, fit, method.strength, weights)]
        pairs = list(zip(models, weights, strict=True))
        steps = replace(family.recipe, steps=JOINT_STEPS)
        found[method.name] = {
            "before": error(models),
            "newton": error([newton_correct(problem, m, flexible, row).params for m, row in pairs]),
            "joint": error(
                finetune(
                    problem, m, dict(zip(problem.tasks, row.tolist(), strict=True)), steps, family.setting.first_seed
                ).params
                for m, row in pairs
            ),
        }
        if method.name == "default":
            strong = replace(preview, strengths=(10.0,))
            damped = [{**family.base, **m} for m in merged_models(family.base, strong, fit, 10.0, weights)]
            found[method.name]["damping 10"] = error(damped)
    return found


def pairs_of(family: Family, paths: Scores) -> list[dict[str, Any]]:
    """What is known of every pair of finetunes before anything is merged."""
    tasks = paths.tasks
    overlaps = task_vector_overlaps(family.base, family.finetunes)
    transfers = transfers_of(paths.values[1:4], list(paths.values[0]))
    barriers = barriers_of(paths.take(range(1, len(paths))))
    said = [*barriers_between(barriers), *tasks_conflict(tasks, transfers, overlaps, measured=True)]
    return [
        {
            "tasks": [tasks[i], tasks[j]],
            "cosine": overlaps[tasks[i], tasks[j]].cosine,
            "opposed": overlaps[tasks[i], tasks[j]].opposed,
            "transfers": [float(transfers[i, j]), float(transfers[j, i])],
            "barriers": [[b.height, b.stderr, b.drop] for b in barriers if b.tasks == (tasks[i], tasks[j])],
            "said": [each.as_dict() for each in said if each.tasks == (tasks[i], tasks[j])],
        }
        for i, j in combinations(range(3), 2)
    ]


def power_study(scores: Scores, evaluations: Sequence[Evaluation], on_test: Scores) -> list[dict[str, Any]]:
    """Reliability as fewer validation examples show it, and the correlation with the test losses that they have.

    Corners are left out: they are far away, and told apart by anything.
    """
    inside = np.flatnonzero(scores.weights.max(axis=1) < 1)
    found = []
    for size in SIZES:
        for repeat in range(REPEATS):
            part = [drawn(evaluations[row], size, repeat) for row in inside]
            few = as_scores(part, scores.weights[inside], scores.objectives, scores.tasks)
            reliability = 1 - noise_variance(few) / score_variance(few)
            for column in range(len(few.objectives)):
                found.append(
                    {
                        "examples": size,
                        "reliability": float(reliability[column]),
                        "correlation": float(np.corrcoef(few.values[:, column], on_test.values[inside, column])[0, 1]),
                    }
                )
    return found


def drawn(evaluation: Evaluation, size: int, repeat: int) -> Evaluation:
    """Some of the examples, the same ones for every model: they depend on the repeat alone."""
    rows = np.random.default_rng(repeat).permutation(len(next(iter(evaluation.examples.values()))))[:size]
    columns = {name: column[rows] for name, column in evaluation.examples.items()}
    means = np.array([column.mean() for column in columns.values()])
    return Evaluation(means, np.array([c.std(ddof=1) / len(c) ** 0.5 for c in columns.values()]), columns)


def scored(
    evaluator: SupervisedEvaluator, models: Iterable[Params], weights: np.ndarray, tasks: tuple[str, ...]
) -> tuple[Scores, list[Evaluation]]:
    """Losses with the errors they share, and the examples behind them."""
    objectives = tuple(Objective(f"loss[{task}]", "minimise", "nats", (0.0, None), task, "loss") for task in tasks)
    evaluations = [evaluate_one(model, evaluator, objectives) for model in models]
    return as_scores(evaluations, weights, objectives, tasks), evaluations


def as_scores(
    evaluations: Sequence[Evaluation], weights: np.ndarray, objectives: tuple[Objective, ...], tasks: tuple[str, ...]
) -> Scores:
    """With the covariance that comes from paired examples."""
    return Scores(
        tasks,
        weights,
        np.array([each.values for each in evaluations]),
        np.array([each.stderr for each in evaluations]),
        objectives,
        ("merged",) * len(evaluations),
        shared_covariance(evaluations, objectives),
    )


def _average(finetunes: Mapping[str, Params], pair: tuple[str, str]) -> dict[str, torch.Tensor]:
    one, other = (finetunes[task] for task in pair)
    return {name: (one[name] + other[name]) / 2 if one[name].is_floating_point() else one[name] for name in one}


if __name__ == "__main__":
    main()
