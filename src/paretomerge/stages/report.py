"""`report`: everything a run knows, as a picture and a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.errors import MissingExtraError
from paretomerge.recipes import digest_recipe
from paretomerge.reports import Intervals, PredictedGrid, ReportData, ReportPaths, Verified, draw_front
from paretomerge.reports import report as write_report
from paretomerge.stages.choose import chosen_id, front_of, uncertainty_of
from paretomerge.stages.free_diagnoses import stored_diagnoses
from paretomerge.stages.ledger import run_ledger
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Front, FrontPoint, Scores

PICTURE = "front.png"


def report_run(study: Study, progress: Progress = silent) -> ReportPaths:
    """Write `front.png` and `report.html` into the run folder; estimates the front first if there is none."""
    return write_report(report_data(study, progress), study.folder.path)


def draw_run(study: Study, progress: Progress = silent) -> Path | None:
    """Draw the run's front as it is now, with the chosen point, into the run folder; `None` where it cannot be drawn.

    That is so without matplotlib, and for a front of one objective.
    """
    data = report_data(study, progress)
    if len(data.objectives) < 2:
        return None
    try:
        return draw_front(data, study.folder.path / PICTURE)
    except MissingExtraError:
        return None


def report_data(study: Study, progress: Progress = silent) -> ReportData:
    """What the report shows: the journal's facts, as far as they belong to the present recipe."""
    front = front_of(study, progress)
    facts = _facts(study)
    names = [objective.name for objective in front.objectives]
    parts = [front.scores, Scores.from_dict(facts["scores"])]
    verified, joint, spread = None, None, None
    if facts["verification"]:
        verified = _verified(facts["verification"])
        parts += [verified.previews, verified.truths]
    if facts["joint_front"]:
        joint = Front.from_dict(facts["joint_front"])
        spread = uncertainty_of(study, joint, of="joint")
    ledger = run_ledger(study)
    return ReportData(
        title=f"Pareto front of {', '.join(study.tasks)}",
        objectives=front.objectives,
        scores=Scores.concatenate([part.named(names) for part in parts if len(part)]),
        front=front,
        choice=_choice(study, front, joint),
        ledger=ledger.rows(),
        warnings=facts["surrogate"].get("warnings", ()),
        notes=_notes(study, facts),
        run=str(study.folder.path),
        choice_rule=facts["choice"].get("rule", ""),
        uncertainty=uncertainty_of(study, front),
        joint_front=joint,
        joint_uncertainty=spread,
        verification=verified,
        diagnoses=stored_diagnoses(study),
        ledger_notes=(ledger.summary, *ledger.assumptions),
        landscape=PredictedGrid.from_dict(facts["landscape"]) if facts["landscape"] else None,
    )


def _facts(study: Study) -> dict[str, Any]:
    """What the journal has noted; nothing for decisions that were made under another recipe."""
    with study.folder.open_journal() as journal:
        found = {name: journal.fact(name) or {} for name in ("scores", "damping", "surrogate", "search")}
        for name in ("choice", "verification", "joint_front", "landscape"):
            fact = journal.fact(name) or {}
            found[name] = fact if fact.get("recipe") == digest_recipe(study.recipe) else {}
    return found


def _choice(study: Study, front: Front, joint: Front | None) -> FrontPoint | None:
    """The chosen point, with its merged scores where it is on the front of merged models."""
    chosen = chosen_id(study)
    if chosen is not None:
        return front[chosen]
    chosen = None if joint is None else chosen_id(study, of="joint")
    return None if chosen is None or joint is None else joint[chosen]


def _verified(fact: Mapping[str, Any]) -> Verified:
    """The verification as it was stored; runs of older versions know the two scores only."""
    previews, truths = Scores.from_dict(fact["previews"]), Scores.from_dict(fact["truths"])
    coverage = fact.get("coverage")
    if coverage is None:
        return Verified(previews, truths)
    predicted = np.array(fact["recalibration"]["predicted"])
    before, after = (
        Intervals(mean, *(np.array(coverage[when][name]) for name in ("lower", "upper", "inside")))
        for when, mean in (("before", previews.values), ("after", predicted))
    )
    survivors = fact["survivors"]["points"]
    return Verified(previews, truths, before, after, coverage["level"], survivors, fact["sentences"])


def _notes(study: Study, facts: Mapping[str, Any]) -> dict[str, str]:
    recipe, search = study.recipe, facts["search"]
    notes = {
        "posterior": f"{recipe.posterior.family} {recipe.posterior.settings}",
        "rule": recipe.rule.name,
        "splits": f"front calibrated on {recipe.front.split}; verification on test",
    }
    if search:
        notes["search"] = f"{recipe.front.method} over {recipe.front.domain}: {search['stopped']}"
    if facts["damping"]:
        notes["damping"] = f"{facts['damping']['value']:g}, chosen on validation"
    return notes
