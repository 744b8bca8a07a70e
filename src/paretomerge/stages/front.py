"""`front`: spend the budget of evaluations by the recipe's method, estimate the front, and say how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from paretomerge.diagnoses import Diagnosis
from paretomerge.distributed import Executor, Serial, executor_of
from paretomerge.errors import RecipeError, nearest
from paretomerge.fronts.methods import FrontEstimate, FrontMethod, FrontProblem, Informed, NestedMap
from paretomerge.fronts.search import thinned
from paretomerge.fronts.uncertainty import FrontUncertainty, front_uncertainty
from paretomerge.recipes import digest_recipe, method
from paretomerge.reports.grid import PredictedGrid, grid_points, predicted_grid
from paretomerge.stages.evaluating.evaluators import default_objectives
from paretomerge.stages.fitting.fit import Fitted, fit_run
from paretomerge.stages.free_diagnoses import free_diagnoses, keep_diagnoses
from paretomerge.stages.landscape import landscape_of
from paretomerge.stages.logs import log
from paretomerge.stages.measuring.asynchronous import search_asynchronously
from paretomerge.stages.measuring.merged import MergedScorer
from paretomerge.stages.measuring.sampled import SampledScores, score_sampled
from paretomerge.stages.scoring.models import Failed, Progress, silent
from paretomerge.stages.scoring.racing import FRACTIONS
from paretomerge.stages.study import Study
from paretomerge.surrogates import Fitted as FittedSurrogate
from paretomerge.types import Constraint, Front, Objective, Scores, to_minimised

_DRAWS, _DRAWN_AT = 200, 5


@dataclass(frozen=True, eq=False)
class EstimatedFront:
    """A run's front.

    Attributes:
        front: the points, predicted by the surrogate (or measured, where the method only measures).
        scores: everything that was evaluated, all objectives.
        surrogate: what predicted the front; `None` where the method only measures.
        uncertainty: intervals, probabilities and attainment surfaces.
        stopped: why no more was evaluated.
        gain: the expected relative gain in hypervolume of another batch; NaN where it is not known.
        failures: points that could not be scored, and why.
        diagnoses: signs that previews will fail, at no evaluation; gravest first.
        grid: what the surrogate predicts all over the simplex; `None` where the method only measures, or in another
            domain.
    """

    front: Front
    scores: Scores
    surrogate: FittedSurrogate | None
    uncertainty: FrontUncertainty
    stopped: str
    gain: float
    failures: tuple[Failed, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    grid: PredictedGrid | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before trusting the front."""
        found = [] if self.surrogate is None else list(self.surrogate.warnings)
        if self.surrogate is not None and (far := self.surrogate.extrapolates(self.front.weights)).any():
            found.append(
                f"{int(far.sum())} of {len(far)} points of the front lie where no score says much (such as point "
                f"{int(np.flatnonzero(far)[0])}): measure a point before relying on it, or evaluate more"
            )
        for failure in self.failures:
            point = ", ".join(
                f"{name}={value:.3g}" for name, value in zip(self.front.tasks, failure.point, strict=True)
            )
            found.append(f"the model at {point} could not be scored: {failure.error}")
        return tuple(found)

    @property
    def summary(self) -> tuple[str, ...]:
        """What was measured and why no more, how well it is predicted, what more would bring: a sentence each."""
        parts = [f"{len(self.scores)} merged models evaluated ({self.stopped})"]
        if self.surrogate is not None and np.isfinite(self.surrogate.fit_quality).any():
            worst = float(np.nanmin(self.surrogate.fit_quality))
            parts.append(f"each is predicted from the others with R² of at least {worst:.2f}")
        if np.isfinite(self.gain):
            share = f"{100 * self.gain:.2g}" if self.gain < 0.995 else f"{100 * self.gain:.0f}"
            parts.append(f"another batch is expected to add {share} % of hypervolume")
        return tuple(parts)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "front": self.front.as_dict(),
            "scores": replace(self.scores, shared=None).as_dict(),
            "uncertainty": replace(self.uncertainty, samples=None).as_dict(),  # the journal keeps the draws
            "quality": [] if self.surrogate is None else _plain(self.surrogate.fit_quality),
            "stopped": self.stopped,
            "gain": None if np.isnan(self.gain) else self.gain,
            "warnings": list(self.warnings),
            "diagnoses": [each.as_dict() for each in self.diagnoses],
            "failures": [{"point": f.point.tolist(), "error": str(f.error)} for f in self.failures],
        }


def estimate_run_front(
    study: Study,
    progress: Progress = silent,
    evaluations: int | None = None,
    executor: Executor | None = None,
) -> EstimatedFront:
    """Estimate the front with the recipe's method and budget; only what is not yet in the journal is measured.

    With a budget of zero evaluations the posteriors' own predicted losses are the front. A larger budget later asks
    first for what was asked before, so it goes on from what is known.

    Args:
        study: the run.
        progress: called with short messages.
        evaluations: a budget other than the recipe's.
        executor: who measures merged models; a pool of the recipe's `front.workers` when `None`.

    Raises:
        RecipeError: an unknown method, metric, objective or constraint; a rule that has no place in the domain.
        DataError: a budget that the method cannot work with.
        FailureError: no cluster, or no place in it.
    """
    section = study.recipe.front
    searcher: FrontMethod = method("front", section.method, section.settings)
    traded, constraints = traded_objectives(study), recipe_constraints(study)
    fitted = fit_run(study, progress, executor)
    landscape = landscape_of(fitted)
    problem = FrontProblem(
        landscape.domain,
        study.tasks,
        _with_constrained(study, traded, constraints),
        tuple(objective.name for objective in traded),
        constraints,
        landscape.predicted_losses,
        section.points,
    )
    budget = section.evaluations if evaluations is None else evaluations
    fractions = FRACTIONS if section.racing else ()
    who = executor or executor_of(workers=section.workers) or Serial()
    with MergedScorer(study, landscape, section.split, "front", progress, who, fractions) as scorer:
        if not isinstance(searcher, NestedMap):  # which measures some tasks at a time
            scorer.expect(budget)
        log.info("front by %s, at most %d evaluations on the %s split", section.method, budget, section.split)
        estimate = _searched(searcher, problem, scorer, budget, study, progress)
        rests_on = estimate.scores if estimate.surrogate is None else estimate.surrogate.scores
        deviations = scorer.deviations(rests_on, _DRAWS, study.recipe.seed)
        sampled = _sampled(fitted, estimate.front, progress)
        found = EstimatedFront(
            estimate.front,
            scorer.complete(estimate.scores),
            estimate.surrogate,
            front_uncertainty(
                estimate.surrogate or estimate.scores,
                estimate.front,
                constraints=constraints,
                seed=study.recipe.seed,
                level=section.interval,
                deviations=deviations,
                parameters=_parameter_spread(sampled, estimate.front.weights, estimate.front.objectives),
            ),
            estimate.stopped,
            estimate.gain,
            tuple(scorer.failures),
        )
    progress("looking for signs that previews fail")
    found = replace(
        found,
        diagnoses=free_diagnoses(fitted, landscape, found.front, found.scores),
        grid=None if found.surrogate is None else _grid(study, found.surrogate, deviations, sampled),
    )
    keep_diagnoses(study, found.diagnoses)
    _remember(study, found, estimate.details, budget)
    log.info("front of %d points: %s", len(found.front.weights), "; ".join(found.summary))
    for warning in found.warnings:
        log.warning("front: %s", warning)
    return found


def _searched(
    searcher: FrontMethod,
    problem: FrontProblem,
    scorer: MergedScorer,
    budget: int,
    study: Study,
    progress: Progress,
) -> FrontEstimate:
    if study.recipe.front.asynchronous and isinstance(searcher, Informed):
        return search_asynchronously(searcher, problem, scorer, budget, study.recipe.seed, progress)
    return searcher.search(
        problem,
        scorer,
        budget,
        study.recipe.seed,
        lambda _, done: progress(f"looking at {done} evaluations for where to measure next"),
    )


def _sampled(fitted: Fitted, front: Front, progress: Progress) -> SampledScores | None:
    """Models drawn from the merged posterior at a few points of the front; `None` where the recipe wants none."""
    section = fitted.study.recipe.front
    if not section.drawn_models:
        return None
    rows = thinned(to_minimised(front.values, front.objectives), _DRAWN_AT)
    seed = fitted.study.recipe.seed
    return score_sampled(
        fitted, front.weights[rows], section.split, draws=section.drawn_models, seed=seed, progress=progress
    )


def _parameter_spread(
    sampled: SampledScores | None, points: np.ndarray, objectives: Sequence[Objective]
) -> np.ndarray | None:
    """`[K, M]`, standard deviations of models drawn from the merged posterior; zeros for objectives nobody sampled."""
    if sampled is None:
        return None
    stdev = sampled.stdev_at(points)
    known = {objective: column for column, objective in enumerate(sampled.objectives)}
    nothing = np.zeros(len(stdev))
    return np.stack([stdev[:, known[each]] if each in known else nothing for each in objectives], axis=1)


def _grid(
    study: Study, surrogate: FittedSurrogate, deviations: np.ndarray | None, sampled: SampledScores | None
) -> PredictedGrid | None:
    """What the surrogate predicts all over the simplex, for the report; `None` in other domains."""
    points = grid_points(surrogate)
    if points is None:
        return None
    return predicted_grid(
        surrogate,
        level=study.recipe.front.interval,
        draws=_DRAWS,
        seed=study.recipe.seed,
        deviations=deviations,
        parameters=_parameter_spread(sampled, points, surrogate.objectives),
    )


def traded_objectives(study: Study) -> tuple[Objective, ...]:
    """What the front trades off: the named objectives, or those of the metric.

    Raises:
        RecipeError: an unknown name or metric, before anything is evaluated.
    """
    section, known = study.recipe.front, {objective.name: objective for objective in study.objectives}
    for name in section.objectives:
        if name not in known:
            raise RecipeError(
                f"front.objectives: unknown objective {name!r}{nearest(name, known)}; they are {', '.join(known)}"
            )
    if section.objectives:
        return tuple(known[name] for name in section.objectives)
    limited = {Constraint.parse(text).objective for text in section.constraints}
    chosen = [o for o in study.objectives if o.metric == section.metric and o.name not in limited]
    if chosen:
        return tuple(chosen)
    metrics = dict.fromkeys(objective.metric for objective in study.objectives)
    if not (study.recipe.evaluator and section.metric == "loss"):
        raise RecipeError(
            f"front.metric: no objective has the metric {section.metric!r}{nearest(section.metric, metrics)}; the "
            f"metrics are {', '.join(map(repr, metrics))}"
        )
    return tuple(o for o in default_objectives(study) if o.name not in limited)  # without the default metric


def recipe_constraints(study: Study) -> tuple[Constraint, ...]:
    """The limits that the front keeps.

    Raises:
        RecipeError, DataError: one that cannot be read, or of an objective that is not measured.
    """
    constraints = tuple(Constraint.parse(text) for text in study.recipe.front.constraints)
    for constraint in constraints:
        constraint.column(study.objectives)
    return constraints


def _with_constrained(
    study: Study, traded: Sequence[Objective], constraints: Sequence[Constraint]
) -> tuple[Objective, ...]:
    """What the search has to know of, in the study's order."""
    names = {objective.name for objective in traded} | {constraint.objective for constraint in constraints}
    return tuple(objective for objective in study.objectives if objective.name in names)


def _remember(study: Study, found: EstimatedFront, details: Mapping[str, object], budget: int) -> None:
    """The front and what it rests on, for `choose`, `export` and `report`."""
    quality = [] if found.surrogate is None else _plain(found.surrogate.fit_quality)
    gain = None if np.isnan(found.gain) else found.gain
    recipe, grid = digest_recipe(study.recipe), found.grid
    with study.folder.open_journal() as journal:
        journal.conclude(
            {
                "scores": replace(found.scores, shared=None).as_dict(),  # `shared` follows from the examples
                "surrogate": {"quality": quality, "warnings": list(found.warnings)},
                "uncertainty": found.uncertainty.as_dict(),
                "search": {"budget": budget, "stopped": found.stopped, "gain": gain, **details},
                "landscape": None if grid is None else {"recipe": recipe, **grid.as_dict()},
                "front": {"recipe": recipe, **found.front.as_dict()},
            }
        )


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
