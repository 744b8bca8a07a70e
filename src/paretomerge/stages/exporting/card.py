"""What a run says on the model card of an exported point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from paretomerge.checkpoints import read_provenance
from paretomerge.errors import DataError, MissingExtraError
from paretomerge.exports import ModelCard, citations_of
from paretomerge.recipes import method
from paretomerge.stages.choose import FrontKind, front_of, stored_front
from paretomerge.stages.ledger import run_ledger
from paretomerge.stages.scoring.models import Progress
from paretomerge.stages.study import Study
from paretomerge.types import Front, FrontPoint, to_minimised

PICTURE = "front.png"
POSTERIOR_RULES = ("posterior", "fisher", "mixture")
HUB = "hub://"


def card_of(
    study: Study, damping: float, point: FrontPoint, picture: Path | None = None, notes: Sequence[str] = ()
) -> ModelCard:
    """The card of a point of the run's front.

    Args:
        study: the run.
        damping: that its models were merged with.
        point: as it is on the front.
        picture: of the front.
        notes: sentences about the files.
    """
    return ModelCard(
        name=study.folder.path.name,
        method=_method(study),
        settings=_settings(study, damping),
        finetunes={task: name_of(section.checkpoint) for task, section in study.recipe.tasks.items()},
        digests=study.digests,
        objectives=study.objectives,
        base=name_of(study.recipe.base),
        gives_up=_gives_up(study, point),
        ledger=run_ledger(study).total,
        picture=picture,
        citations=_citations(study),
        notes="\n".join(f"- {note}." for note in notes),
    )


def draw_picture(study: Study, point: FrontPoint, folder: Path, progress: Progress) -> Path | None:
    """The front with the point on it, in a file of this folder; `None` where it cannot be drawn, which is said."""
    from paretomerge.reports import ReportData, draw_front

    front = _front_with(study, point) or _any_front(study, point, progress)
    if front is None:
        return None
    data = ReportData(
        title=f"Pareto front of {', '.join(study.tasks)}",
        objectives=front.objectives,
        scores=front.scores,
        front=front,
        choice=_on_axes(point, front),
    )
    try:
        return draw_front(data, folder / PICTURE)
    except (MissingExtraError, DataError) as error:
        progress(f"the card has no picture of the front: {error}")
        return None


def name_of(checkpoint: str) -> str:
    """What a checkpoint is called on a card: its name on the hub, or that of its folder."""
    return checkpoint.removeprefix(HUB).partition("@")[0] if checkpoint.startswith(HUB) else Path(checkpoint).name


def _method(study: Study) -> str:
    rule, section = study.recipe.rule.name, study.recipe.posterior
    if rule not in POSTERIOR_RULES:
        return rule
    return f"{rule} merge of {'given' if section.files else section.family} posteriors"


def _settings(study: Study, damping: float) -> dict[str, str]:
    recipe = study.recipe
    settings: dict[str, object] = dict(recipe.rule.settings)
    if recipe.rule.name in POSTERIOR_RULES:
        family = {} if recipe.posterior.files else {"family": recipe.posterior.family}
        settings |= {**family, **recipe.posterior.settings, "damping": damping}
    return {key: str(value) for key, value in settings.items()}


def _gives_up(study: Study, point: FrontPoint) -> dict[str, float]:
    """Objective to how much worse it is than the best on the front that the point is of."""
    front = _front_with(study, point)
    if front is None:
        return {}
    values = to_minimised(front.values, front.objectives)
    lost = values[point.id] - values.min(axis=0)
    return dict(zip([objective.name for objective in front.objectives], np.maximum(lost, 0).tolist(), strict=True))


def _front_with(study: Study, point: FrontPoint) -> Front | None:
    kinds: tuple[FrontKind, ...] = ("merged", "joint")
    for kind in kinds:
        front = stored_front(study, kind)
        if front is not None and 0 <= point.id < len(front) and front[point.id] == point:
            return front
    return None


def _on_axes(point: FrontPoint, front: Front) -> FrontPoint:
    """The point with the front's objectives only; a measured one may have more."""
    names = [objective.name for objective in front.objectives]
    values = {name: point.values[name] for name in names}
    return replace(point, values=values, stdev={name: point.stdev[name] for name in names})


def _any_front(study: Study, point: FrontPoint, progress: Progress) -> Front | None:
    """The run's front; for a point that is not on it only where there is one, because estimating takes evaluations."""
    return front_of(study, progress) if point.id >= 0 else stored_front(study, "merged")


def _citations(study: Study) -> tuple[str, ...]:
    recipe = study.recipe
    rule = method("rule", recipe.rule.name, recipe.rule.settings)
    origins = [read_provenance(Path(file)) for file in recipe.posterior.files.values()]
    return citations_of(
        recipe.rule.name,
        family="" if recipe.posterior.files else recipe.posterior.family,
        front=recipe.front.method,
        domain=recipe.front.domain,
        elect_signs=bool(getattr(rule, "elect_signs", False)),
        ivon=any(origin is not None and origin.route == "ivon" for origin in origins),
        adapters=any(finetune.is_adapter for finetune in study.finetunes.values()),
    )
