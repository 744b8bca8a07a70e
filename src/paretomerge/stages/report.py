"""`report`: everything a run knows, as a picture and a page."""

from __future__ import annotations

from dataclasses import asdict

from paretomerge.recipes import digest_recipe
from paretomerge.reports import ReportData, ReportPaths
from paretomerge.reports import report as write_report
from paretomerge.stages.choose import chosen_id, front_of
from paretomerge.stages.scoring import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Scores


def report_run(study: Study, progress: Progress = silent) -> ReportPaths:
    """Write `front.png` and `report.html` into the run folder; estimates the front first if there is none."""
    front = front_of(study, progress)
    with study.folder.open_journal() as journal:
        parts = [front.scores, Scores.from_dict(journal.fact("scores"))]
        verification = journal.fact("verification")
        if verification and verification.get("recipe") == digest_recipe(study.recipe):
            parts += [Scores.from_dict(verification["previews"]), Scores.from_dict(verification["truths"])]
        damping, surrogate, search = (journal.fact(name) for name in ("damping", "surrogate", "search"))
        ledger = {stage: asdict(cost) for stage, cost in journal.ledger().items()}
    names = [objective.name for objective in front.objectives]
    scores = Scores.concatenate([_columns(part, names) for part in parts if len(part)])
    recipe, chosen = study.recipe, chosen_id(study)
    notes = {
        "posterior": f"{recipe.posterior.family} {recipe.posterior.settings}",
        "rule": recipe.rule.name,
        "splits": f"front calibrated on {recipe.front.split}; verification on test",
    }
    if search:
        notes["search"] = f"{recipe.front.method} over {recipe.front.domain}: {search['stopped']}"
    if damping:
        notes["damping"] = f"{damping['value']:g}, chosen on validation"
    data = ReportData(
        title=f"Pareto front of {', '.join(study.tasks)}",
        objectives=front.objectives,
        scores=scores,
        front=front,
        choice=None if chosen is None else front[chosen],
        ledger=ledger,
        warnings=surrogate["warnings"] if surrogate else (),
        notes=notes,
    )
    return write_report(data, study.folder.path)


def _columns(scores: Scores, names: list[str]) -> Scores:
    """The scores of the named objectives."""
    order = [[objective.name for objective in scores.objectives].index(name) for name in names]
    objectives = tuple(scores.objectives[i] for i in order)
    return Scores(
        scores.tasks, scores.weights, scores.values[:, order], scores.stderr[:, order], objectives, scores.origin
    )
