"""The demo's study: trainings, previews by every method, and the truth they are held against."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paretomerge.checkpoints.atomic import write_text
from paretomerge.choices import Choice, Knee
from paretomerge.demo.digits import TASKS
from paretomerge.demo.methods import HEADLINE, demo_methods
from paretomerge.demo.quality import compare_all
from paretomerge.demo.trainings import FINETUNING, Job, grid, load, load_all, pretrain, train
from paretomerge.distributed import Executor, ProcessPool, Serial
from paretomerge.errors import InputError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.recipes import Recipe, parse_recipe
from paretomerge.reports import ReportData, ReportPaths, report
from paretomerge.runs import Journal, RunFolder, evaluation_key
from paretomerge.stages import (
    Preview,
    Study,
    choose_point,
    estimate_run_front,
    export_point,
    open_study,
    preview_models,
)
from paretomerge.stages.exporting.export import measured_point
from paretomerge.stages.front import EstimatedFront
from paretomerge.stages.scoring.models import Progress, score_models, silent
from paretomerge.types import Front, FrontPoint, Ledger, Origin, Params, Scores, digest_params

NOISE = {"name": "joint finetuning, another seed"}


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Everything the demo prints; `as_dict` is its JSON."""

    seed: int
    methods: tuple[dict[str, Any], ...]
    joint_noise: dict[str, Any]
    ledger: dict[str, Ledger]
    front: Front
    choice: Choice
    exported: Path
    reloaded: dict[str, float]
    report: ReportPaths

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "seed": self.seed,
            "headline": HEADLINE,
            "methods": list(self.methods),
            "joint_noise": self.joint_noise,
            "ledger": {stage: asdict(cost) for stage, cost in self.ledger.items()},
            "choice": {"weights": self.choice.point.weights, "rule": self.choice.rule},
            "exported": str(self.exported),
            "reloaded": self.reloaded,
            "report": str(self.report.page),
        }


def run_demo(out: str | os.PathLike[str], seed: int = 0, workers: int = 2, progress: Progress = silent) -> DemoResult:
    """Run the whole demo into a folder; an interrupted one continues.

    Args:
        out: the folder; afterwards it is a run that `choose`, `export`, `verify` and `report` understand.
        seed: of the data splits, the base model, and every training.
        workers: processes that finetune side by side.
        progress: called with short messages.
    """
    threads = torch.get_num_threads()
    # One thread: the same sums in the same order, whatever else the machine does.
    torch.set_num_threads(1)
    try:
        return _run(Path(out).absolute(), seed, workers, progress)
    finally:
        torch.set_num_threads(threads)


def _run(out: Path, seed: int, workers: int, progress: Progress) -> DemoResult:
    folders = {name: out / "checkpoints" / name for name in ("base", *TASKS)}
    study = _prepare(out, folders, seed, workers, progress)
    with study.folder.open_journal() as journal:
        truth, noise = (_score_joint(study, journal, out, repeat, progress) for repeat in (0, 1))
        corners = _score(study, journal, load_all([folders[task] for task in TASKS]), np.eye(3), "trained")
        previews = _previews(study, journal, progress)
        rows, joint_noise = compare_all({name: scores for name, (_, scores) in previews.items()}, truth, noise, corners)
        for row in rows:
            preview = previews[row["name"]][0]
            row.update(strength=preview.strength, **asdict(preview.ledger))
        ledger = {**journal.ledger(), **{f"preview: {row['name']}": previews[row["name"]][0].ledger for row in rows}}
    found = estimate_run_front(study, progress)
    choice = choose_point(study, Knee(), progress)
    exported = export_point(study, "chosen", out / "merged", overwrite=True, progress=progress)
    reloaded = accuracies(study, load(exported))
    measured = measured_point(study, choice.point, progress)
    merged = previews[HEADLINE][1]
    table = (*rows, NOISE | joint_noise)
    page = _write_report(out, [merged, truth, corners], found, measured, choice.rule, table, ledger)
    result = DemoResult(seed, tuple(rows), joint_noise, ledger, found.front, choice, exported, reloaded, page)
    write_text(out / "demo.json", json.dumps(result.as_dict(), indent=2) + "\n")
    return result


def _write_report(
    out: Path,
    scores: Sequence[Scores],
    found: EstimatedFront,
    chosen: FrontPoint,
    rule: str,
    rows: Sequence[Mapping[str, Any]],
    ledger: Mapping[str, Ledger],
) -> ReportPaths:
    front = found.front
    losses = [objective.name for objective in front.objectives]
    values, stdev = ({name: found[name] for name in losses} for found in (chosen.values, chosen.stdev))
    data = ReportData(
        title="Digits upright, rotated and mirrored: one model, three tasks",
        objectives=front.objectives,
        scores=Scores.concatenate([*(part.select("loss") for part in scores), front.scores]),
        front=front,
        choice=replace(chosen, values=values, stdev=stdev),
        methods=[_shown_row(row) for row in rows],
        ledger={stage: asdict(cost) for stage, cost in ledger.items()},
        notes={
            "truth": f"joint finetuning, {FINETUNING.steps} steps, test losses; previews are {HEADLINE}",
            "splits": "strengths and the front are chosen on validation; the table is on test",
        },
        run=str(out),
        choice_rule=rule,
        uncertainty=found.uncertainty,
        landscape=found.grid,
    )
    return report(data, out)


def recipe_of(folders: Mapping[str, Path], seed: int) -> Recipe:
    """The demo as a recipe, with the headline method as its posterior."""
    fit = next(method for method in demo_methods() if method.name == HEADLINE)
    return parse_recipe(
        {
            "base": str(folders["base"]),
            "tasks": {task: {"checkpoint": str(folders[task]), "data": f"seed={seed}"} for task in TASKS},
            "problem": "paretomerge.demo.digits:digits_problem",
            "posterior": {
                "family": fit.fit.family,
                "settings": asdict(fit.fit),
            },
            "front": {"evaluations": 15, "split": "validation"},
            "training": asdict(FINETUNING),
            "seed": seed,
        },
        "demo",
    )


def accuracies(study: Study, params: Params) -> dict[str, float]:
    """Test accuracy of one model on every task."""
    evaluator = SupervisedEvaluator(study.require_problem("accuracies"), "test")
    return {task: float(evaluator(params, task)["accuracy"].mean()) for task in study.tasks}


def _prepare(out: Path, folders: Mapping[str, Path], seed: int, workers: int, progress: Progress) -> Study:
    """Every training, and the opened run."""
    _claim_seed(out, seed)
    progress("pretraining a weak base model")
    _charge(out, "pretraining", pretrain(folders["base"], seed))
    jobs = {
        "finetunes": [
            Job(folders[task], folders["base"], seed, tuple(row), 10 * seed + 1)
            for task, row in zip(TASKS, np.eye(3).tolist(), strict=True)
        ],
        "joint grid": [_joint_job(out, folders["base"], seed, row, 0) for row in grid().tolist()],
        "joint grid, another seed": [_joint_job(out, folders["base"], seed, row, 1) for row in grid().tolist()],
    }
    queue = [(stage, job) for stage, waiting in jobs.items() for job in waiting]
    for number, ((stage, _), cost) in enumerate(
        zip(queue, _executor(workers, queue).map(train, [job for _, job in queue]), strict=True)
    ):
        progress(f"{stage}: training {number + 1} of {len(queue)} done")
        _charge(out, stage, cost)
    return open_study(recipe_of(folders, seed), out)


def _charge(out: Path, stage: str, cost: Ledger) -> None:
    """Charge a training at once, so that one sitting knows what an earlier one has paid."""
    if cost.trainings:
        with RunFolder(out).open_journal() as journal:
            journal.charge(stage, cost)


def _claim_seed(out: Path, seed: int) -> None:
    """One folder holds the trainings of one seed; known before the first of them, so that no two are ever mixed."""
    with RunFolder(out).open_journal() as journal:
        held = journal.fact("demo")
        if held is not None and held["seed"] != seed:
            raise InputError(
                f"{out} holds the demo of seed {held['seed']}: give another folder, --out, for seed {seed}"
            )
        journal.note("demo", {"seed": seed})


def _executor(workers: int, queue: Sequence[tuple[str, Job]]) -> Executor:
    waiting = sum(not job.folder.exists() for _, job in queue)
    return ProcessPool(workers) if workers > 1 and waiting > 1 else Serial()


def _joint_job(out: Path, base: Path, seed: int, row: Sequence[float], repeat: int) -> Job:
    return Job(_joint_folder(out, row, repeat), base, seed, tuple(row), 10 * seed + 1 + repeat)


def _joint_folder(out: Path, row: Sequence[float], repeat: int) -> Path:
    return out / "joint" / f"seed{repeat}" / "-".join(f"{weight:.3f}" for weight in row)


def _score_joint(study: Study, journal: Journal, out: Path, repeat: int, progress: Progress) -> Scores:
    models = load_all([_joint_folder(out, row, repeat) for row in grid().tolist()])
    return _score(study, journal, models, grid(), "trained", progress)


def _previews(study: Study, journal: Journal, progress: Progress) -> dict[str, tuple[Preview, Scores]]:
    problem = study.require_problem("previews")
    base = {name: study.base[name] for name in study.base}
    finetunes = {task: {name: tune[name] for name in tune} for task, tune in study.finetunes.items()}
    fits: dict[str, Any] = {}
    found = {}
    methods = demo_methods()
    for number, method in enumerate(methods, start=1):
        where = f"preview {number} of {len(methods)}, {method.name}"
        progress(where)
        preview = preview_models(
            problem,
            base,
            finetunes,
            method,
            grid(),
            curvatures=fits.get(repr(method.fit)),
            seed=study.recipe.seed,
            progress=lambda message, where=where: progress(f"{where}: {message}"),  # type: ignore[misc]
        )
        fits[repr(method.fit)] = preview.curvatures
        found[method.name] = (
            preview,
            _score(study, journal, preview.models, grid(), "merged"),
        )
    return found


def _score(
    study: Study,
    journal: Journal,
    models: Sequence[Params],
    weights: np.ndarray,
    origin: Origin,
    progress: Progress = silent,
) -> Scores:
    keys = [
        evaluation_key(model=digest_params(model), weights=row, evaluator=study.evaluator_digest("test"))
        for model, row in zip(models, weights, strict=True)
    ]
    return score_models(
        journal,
        "evaluation of the table",
        keys,
        weights,
        lambda rows: (models[row] for row in rows),
        study.evaluator("test"),
        study.objectives,
        study.tasks,
        origin,
        progress,
    )


def _shown_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of the report's table."""
    columns = ("name", "hypervolume_ratio", "igd_plus", "loss_error", "accuracy_error", "rank_correlation", "seconds")
    return {column.replace("_", " "): row.get(column) for column in columns}
