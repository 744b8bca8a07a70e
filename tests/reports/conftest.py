"""Made-up results for 2, 3 or 5 tasks, with friendly or hostile names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import moocore
import numpy as np
import pytest

from paretomerge.diagnoses import Diagnosis
from paretomerge.fronts import front_uncertainty
from paretomerge.reports import PredictedGrid, ReportData, Verified
from paretomerge.types import Front, Objective, Scores, simplex_grid

FRIENDLY = ("movie", "amazon", "tweets", "code", "maths")
HOSTILE = (
    '</script><script>document.documentElement.dataset.hacked="1"</script>',
    '"><img src=x onerror="document.documentElement.dataset.hacked=\'2\'">',
    "=cmd|'/C calc'!A0 $x^2$ {{ json }} ${json} [red] & \u202eabc\u2028\x00 " + "long name " * 6,
    "d'e\"f <!-- <b>",
    "`g` \ud800 *h* | i",
)


def _losses(weights: np.ndarray, gap: float) -> np.ndarray:
    tasks = weights.shape[1]
    mixed = 1 - (weights**2).sum(axis=1, keepdims=True)
    return 0.22 + 0.05 * np.arange(tasks) + 0.3 * (1 - weights) ** 2 + gap * mixed


def _make(tasks: int = 3, *, hostile: bool = False, accuracy: bool = False, full: bool = False) -> ReportData:
    generator = np.random.default_rng(7)
    names = (HOSTILE if hostile else FRIENDLY)[:tasks]
    losses = tuple(Objective(name, "minimise", "nats", (0, None), name, "loss") for name in names)
    fine = simplex_grid(tasks, {2: 20, 3: 8, 5: 3}[tasks])
    coarse = simplex_grid(tasks, {2: 4, 3: 2, 5: 1}[tasks])
    weights = np.concatenate([fine, coarse, coarse])
    values = np.concatenate([_losses(fine, 0.03), _losses(coarse, 0.04), _losses(coarse, 0.0)])
    values[: len(fine)] += np.linspace(0, 1e-5, len(fine))[:, None]  # no two points are equally good for a rule
    values[len(fine) :] += generator.normal(0, 0.004, (2 * len(coarse), tasks))
    stderr = np.concatenate([np.full((len(fine), tasks), 0.006), np.full((2 * len(coarse), tasks), 0.009)])
    origin = ("predicted",) * len(fine) + ("merged",) * len(coarse) + ("trained",) * len(coarse)
    objectives = losses
    if accuracy:
        objectives += tuple(Objective(f"{n} accuracy", "maximise", "", (0, 1), n, "accuracy") for n in names)
        values, stderr = np.hstack([values, 1 - values / 2]), np.hstack([stderr, stderr / 2])
    scores = Scores(names, weights, values, stderr, objectives, origin)
    kept = np.flatnonzero(moocore.is_nondominated(values[: len(fine), :tasks], keep_weakly=True))
    front = Front(
        names,
        weights[kept],
        values[kept, :tasks],
        stderr[kept, :tasks],
        losses,
        values[:, :tasks].max(axis=0) * 1.1,
        tuple(origin[i] for i in kept),
    )
    methods = (
        {"method": "averaging", "loss error": 0.0451, "loss error stderr": 0.0031, "trainings": 3},
        {"method": names[0], "loss error": 0.019, "loss error stderr": 0.002, "trainings": 3},
        {"method": "joint finetuning", "loss error": None, "trainings": 66},
    )
    ledger = {
        "single finetunes": {"trainings": 3, "gradient_passes": 146250, "evaluations": 0, "seconds": 812.4},
        names[0]: {"trainings": 0, "gradient_passes": 14400},
    }
    data = ReportData(
        title=f"Preview of {names[0]}",
        objectives=losses,
        scores=scores,
        front=front,
        choice=front[len(front) // 2],
        methods=methods,
        ledger=ledger,
        warnings=(f"Too few evaluations of {names[1]}.",),
        notes={"split": "test", names[0]: names[1]},
    )
    return _completed(data, names) if full else data


def _completed(data: ReportData, names: tuple[str, ...]) -> ReportData:
    """With everything that later stages of a run add."""
    assert data.front is not None
    trained = np.flatnonzero(np.array(data.scores.origin) == "trained")
    merged = data.scores.take(trained - len(trained))
    diagnoses = (
        Diagnosis("conflict", "warning", f"{names[0]} and {names[1]} conflict", "verify", {"cosine_of_it": -0.25}),
        Diagnosis("power", "note", "30 examples tell little", f"score {names[0]} on more"),
    )
    return replace(
        data,
        run="runs/a b",
        choice_rule=f"best on {names[0]}",
        uncertainty=front_uncertainty(data.front.scores, data.front, draws=60),
        joint_front=_take(data.front, range(0, len(data.front), 2)),
        verification=Verified(
            merged, data.scores.take(trained), survivors=(0, 2), sentences=(f"Half of {names[0]} is well previewed.",)
        ),
        diagnoses=diagnoses,
        ledger_notes=(f"{names[0]} was estimated",),
        landscape=_landscape(data, 12 if len(names) == 3 else 4),
    )


def _landscape(data: ReportData, divisions: int) -> PredictedGrid:
    """Of the same losses as the predicted points."""
    weights = simplex_grid(len(data.scores.tasks), divisions)
    values = _losses(weights, 0.03)
    half, error = np.full(values.shape, 0.012), np.full(len(data.objectives), 0.0012)
    far = weights.max(axis=1) > 0.95
    return PredictedGrid(
        data.scores.tasks, data.objectives, divisions, values, values - half, values + half, 0.9, error, 2 * error, far
    )


def _take(front: Front, rows: range) -> Front:
    index = list(rows)
    parts = (part[index] for part in (front.weights, front.values + 0.01, front.stdev))
    return Front(front.tasks, *parts, front.objectives, front.reference, ("predicted",) * len(index))


@pytest.fixture
def make_data() -> Callable[..., ReportData]:
    return _make


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    return HOSTILE
