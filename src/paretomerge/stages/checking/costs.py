"""What a run will take: gradient passes, evaluations, time, memory, disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from paretomerge.checkpoints.atomic import free_bytes
from paretomerge.curvature import FitCost, FitIsotropic, estimate_cost
from paretomerge.recipes import method
from paretomerge.stages.checking.rows import Rows
from paretomerge.stages.checking.trials import Trial
from paretomerge.stages.study import Study


@dataclass(frozen=True)
class RunCost:
    """What a run will take from nothing to a front; `None` where that cannot be known.

    Args:
        gradient_passes, fit_seconds, memory: of the posteriors, see `curvature.FitCost`.
        evaluations: merged models that are measured at most.
        scoring_seconds: of all these evaluations.
        disk: bytes of the posteriors and of one exported model.
    """

    gradient_passes: int | None
    fit_seconds: float | None
    memory: int | None
    evaluations: int
    scoring_seconds: float | None
    disk: int

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


def estimate_run(rows: Rows, study: Study, trial: Trial | None) -> RunCost:
    """Rows `cost` and `disk`; the fit is timed on a few examples."""
    front, fit = study.recipe.front, _fit_cost(study)
    scoring = None
    if trial is not None and not study.recipe.evaluators:
        scoring = trial.evaluation * front.evaluations / front.workers
    parts = []
    if fit is not None:
        parts.append(f"posteriors: {fit.gradient_passes:,} gradient passes, about {_duration(fit.seconds)}")
    pace = "at the evaluator's own pace" if scoring is None else f"about {_duration(scoring)}"
    if front.evaluations:
        parts.append(f"front: at most {front.evaluations} evaluations, {pace}")
    rows.ok("cost", "; ".join(parts) or "nothing is measured")
    model = sum(study.base.spec(name).nbytes for name in study.base)
    # Base, finetunes and posteriors are held together, of which the posteriors are stored.
    stored = 0 if fit is None else max(0, fit.memory - model * (1 + len(study.finetunes)))
    cost = RunCost(
        None if fit is None else fit.gradient_passes,
        None if fit is None else fit.seconds,
        None if fit is None else fit.memory,
        front.evaluations,
        scoring,
        model + stored * len(study.finetunes),  # every task's file holds the directions that tasks share
    )
    _check_disk(rows, study, cost.disk)
    return cost


def _fit_cost(study: Study) -> FitCost | None:
    section = study.recipe.posterior
    fit = None if section.files else method("posterior", section.family, section.settings)
    if fit is None or isinstance(fit, FitIsotropic):
        return None
    problem = study.require_problem(f"a {fit.family} posterior")
    finetunes = {task: dict(tune) for task, tune in study.finetunes.items()}
    return estimate_cost(problem, dict(study.base), finetunes, fit, section.split, study.recipe.seed)


def _check_disk(rows: Rows, study: Study, needed: int) -> None:
    free = free_bytes(study.folder.path)
    seen = f"{free / 1e9:.2f} GB are free, posteriors and one exported model take about {needed / 1e9:.2f} GB"
    if free < needed:
        rows.warn("disk", f"{seen}: make room at {study.folder.path}, or give another folder with --out")
    else:
        rows.ok("disk", seen)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s" if seconds >= 2 else "a second or two"
