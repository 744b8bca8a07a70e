"""`fit`: check the checkpoints, measure curvature, choose the damping, store the posteriors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from torch import Tensor

from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.curvature import (
    Curvatures,
    FitCost,
    FitIsotropic,
    FitMethod,
    FitSubspace,
    estimate_cost,
    fit_curvatures,
    fits_apart,
    isotropic_curvatures,
)
from paretomerge.distributed import Executor
from paretomerge.merging import (
    FisherWeighted,
    Inputs,
    MergedParams,
    MixtureMerge,
    PosteriorMerge,
    TaskArithmetic,
    collect_inputs,
)
from paretomerge.posteriors import choose_by_evidence
from paretomerge.recipes import method
from paretomerge.runs import Claims, EnergyMeter, Journal, alone, evaluation_key
from paretomerge.runs.fingerprints import fingerprints
from paretomerge.stages.fitting.files import load_curvatures, save_curvatures
from paretomerge.stages.fitting.given import FitGiven, given_curvatures
from paretomerge.stages.fitting.previews import (
    PreviewMethod,
    choose_strength,
    coordinates_loss,
    merge_each,
    with_strength,
)
from paretomerge.stages.fitting.side_by_side import fit_side_by_side
from paretomerge.stages.fitting.unfinished import UnfinishedFit
from paretomerge.stages.logs import log
from paretomerge.stages.measuring.in_place import MergedInPlace
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Ledger, Params

CLAIM = "fit"
"""What a process claims while it fits: others wait, and find what it has stored."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """The posteriors of a run, ready to be merged: curvatures, chosen damping, and the merge rule."""

    study: Study
    method: PreviewMethod
    curvatures: Curvatures
    damping: float

    @property
    def reads_posteriors(self) -> bool:
        """Whether the rule merges posteriors, instead of the finetunes as they are."""
        return isinstance(self.method.rule, PosteriorMerge | FisherWeighted | MixtureMerge)

    def models(self, weights: np.ndarray) -> Iterator[Params]:
        """Merged parameters at each weighting `[K, T]`, one model after the other.

        With a `placement` in the recipe they are merged when they are written into the model.
        """
        if self.study.recipe.placement is not None:
            return (self.streamed(row) for row in weights)
        return merge_each(self._inputs, self.method.rule, self.damping, weights)

    def streamed(self, weights: np.ndarray) -> MergedParams:
        """The merge at one weighting `[T]`, of which no copy exists before it is written somewhere."""
        return MergedParams(self._inputs, weights, with_strength(self.method.rule, self.damping))

    def maker(self) -> MergedInPlace:
        """What makes the same models in another process."""
        return MergedInPlace(self._inputs, with_strength(self.method.rule, self.damping))

    @cached_property
    def _inputs(self) -> Inputs:
        """Read once for all models. The mean of a posterior need not be the finetune."""
        posteriors = self.curvatures.posteriors(self.damping) if self.reads_posteriors else self.study.finetunes
        return collect_inputs(posteriors, base=self.study.base)

    def predicted_losses(self, weights: np.ndarray) -> np.ndarray:
        """Predicted losses `[K, T]`, at no evaluation."""
        return coordinates_loss(self.curvatures, self.damping, weights)

    @property
    def digest(self) -> str:
        """What every merged model of this fit depends on besides its weights."""
        return evaluation_key(
            checkpoints=self.study.digests,
            fit=repr(self.method.fit),
            rule=repr(self.method.rule),
            split=self.method.split,
            damping=self.damping,
            seed=self.study.recipe.seed,
            data=_data_digest(self.study, self.method),
            version=tool_version(),
        )


def fit_run(study: Study, progress: Progress = silent, executor: Executor | None = None) -> Fitted:
    """Fit the posteriors of a run, or load them if they are there.

    With an executor, families that fit each task by itself (all but isotropic and subspace) fit tasks side by side.

    What an interrupted fit has finished (a task's posterior, or its expansion at a centre) is not measured again.

    Raises:
        AlignmentError: base and finetunes do not fit, or a given posterior belongs to other checkpoints.
        CheckpointError, PosteriorError: a given posterior that cannot be used.
        RecipeError: an unknown family or setting, or a family that needs data and a recipe without a problem.
    """
    given = given_curvatures(study, progress) if study.recipe.posterior.files else None
    preview = _preview(study, given)
    with study.folder.open_journal() as journal:
        key = _key(study, preview)
        curvatures, damping = (
            given or _stored(study, journal, key, preview),
            _known_damping(study, journal, key, preview),
        )
        if curvatures is None and isinstance(preview.fit, FitIsotropic):
            study.check().raise_if_bad()
            curvatures = isotropic_curvatures(study.finetunes, preview.fit)
        if curvatures is None or damping is None:
            with alone(journal, CLAIM, lambda: progress("another process fits this run: waiting for it")):
                curvatures = curvatures or _stored(study, journal, key, preview)
                if curvatures is None:
                    study.check().raise_if_bad()
                    log.info("fitting %s posteriors of %s", preview.fit.family, ", ".join(study.tasks))
                    curvatures = _measure(study, journal, key, preview, progress, executor)
                    cost = curvatures.ledger
                    log.info("fitted: %d gradient passes in %.1f s", cost.gradient_passes, cost.seconds)
                damping = _known_damping(study, journal, key, preview)
                if damping is None:
                    damping = _choose_damping(study, journal, key, preview, curvatures, progress)
        if study.folder.unfinished.is_dir():
            _tidy_up(study, journal)
    return Fitted(study, preview, curvatures, damping)


def estimate_fit(study: Study) -> FitCost | None:
    """What `fit_run` will measure, how long it will take and what it holds in memory; `None` where all is stored.

    Times a few examples of each task, see `curvature.estimate_cost`; what an interrupted fit has finished is counted
    as if it were still to do.

    Raises:
        AlignmentError, RecipeError: as `fit_run`.
    """
    if study.recipe.posterior.files:
        return None
    preview = _preview(study, None)
    if isinstance(preview.fit, FitIsotropic):
        return None
    with study.folder.open_journal() as journal:
        if _stored(study, journal, _key(study, preview), preview) is not None:
            return None
    study.check().raise_if_bad()
    problem = study.require_problem(f"a {preview.fit.family} posterior")
    base, finetunes = _in_memory(study)
    return estimate_cost(problem, base, finetunes, preview.fit, preview.split, study.recipe.seed)


def _preview(study: Study, given: Curvatures | None) -> PreviewMethod:
    """The recipe's family, rule and candidates for the damping."""
    section = study.recipe.posterior
    rule = method("rule", study.recipe.rule.name, study.recipe.rule.settings)
    fit: FitMethod | FitGiven = given.method if given else method("posterior", section.family, section.settings)
    if isinstance(rule, TaskArithmetic):
        strengths: tuple[float, ...] = (rule.scale,)  # a recipe's scale is a setting of its rule
    elif fit.family == FitIsotropic.family or (isinstance(fit, FitGiven) and fit.damped):
        strengths = (0.0,)
    elif section.damping in ("validation", "evidence"):
        strengths = section.dampings
    else:
        strengths = (fit.damping if section.damping is None else float(section.damping),)
    name = "given" if given else section.family
    return PreviewMethod(name, fit, rule, strengths, split=section.split)  # type: ignore[arg-type]


def _key(study: Study, preview: PreviewMethod) -> str:
    """What the curvature depends on."""
    return evaluation_key(
        checkpoints=study.digests,
        fit=repr(preview.fit),
        split=preview.split,
        seed=study.recipe.seed,
        data=_data_digest(study, preview),
        what="curvature",
    )


def _data_digest(study: Study, preview: PreviewMethod) -> str | None:
    """The problem whose curvature was measured; nothing for posteriors that read no data."""
    if isinstance(preview.fit, FitIsotropic | FitGiven):
        return None
    study.require_problem(f"a {preview.fit.family} posterior")
    digest = study.problem_digest(preview.split)
    if isinstance(preview.fit, FitSubspace) and preview.fit.validated and preview.fit.location == "centred":
        digest += study.problem_digest("validation")
    return digest


def _in_memory(study: Study) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    return dict(study.base), {task: dict(finetune) for task, finetune in study.finetunes.items()}


def _measure(
    study: Study, journal: Journal, key: str, preview: PreviewMethod, progress: Progress, executor: Executor | None
) -> Curvatures:
    assert not isinstance(preview.fit, FitIsotropic)
    problem = study.require_problem(f"a {preview.fit.family} posterior")
    base, finetunes = _in_memory(study)
    unfinished = UnfinishedFit(study.folder.unfinished, key)
    seed, split = study.recipe.seed, preview.split
    with EnergyMeter() as meter:
        if executor is not None and fits_apart(preview.fit):
            fit_side_by_side(study, unfinished, preview.fit, split, executor, progress)
        curvatures = fit_curvatures(problem, base, finetunes, preview.fit, split, seed, progress, store=unfinished)
        cost = meter.charged(curvatures.ledger)
    # While files of another fit are being replaced, no fact may vouch for them.
    journal.note("curvature", None)
    save_curvatures(study, curvatures)
    facts = {task: [loss.offset, loss.examples] for task, loss in curvatures.losses.items()}
    files = fingerprints(study.folder.posteriors)
    told = {"key": key, "losses": facts, "files": files, "damping": curvatures.method.damping}
    journal.conclude({"curvature": told}, ("fit", cost))
    unfinished.discard()
    return curvatures


def _stored(study: Study, journal: Journal, key: str, preview: PreviewMethod) -> Curvatures | None:
    fact = journal.fact("curvature")
    if not fact or fact["key"] != key:
        return None
    method = preview.fit
    if isinstance(method, FitSubspace):
        method = replace(method, damping=fact["damping"])
    return load_curvatures(study, method, fact["losses"])


def _tidy_up(study: Study, journal: Journal) -> None:
    """Remove the pieces of a fit that was killed when it was stored already, unless somebody is fitting."""
    claims = Claims(journal)
    try:
        if claims.take(CLAIM):
            UnfinishedFit(study.folder.unfinished, "").discard()
    finally:
        claims.close()


def _damping_key(study: Study, key: str, preview: PreviewMethod) -> str:
    how, strengths = study.recipe.posterior.damping, list(preview.strengths)
    return evaluation_key(curvature=key, rule=repr(preview.rule), strengths=strengths, how=how)


def _known_damping(study: Study, journal: Journal, key: str, preview: PreviewMethod) -> float | None:
    """The damping, where there is only one or one was chosen, by the fit itself or after it."""
    if _is_of_the_fit(study, preview):
        fact = journal.fact("curvature")
        return float(fact["damping"]) if fact and fact["key"] == key else None
    if len(preview.strengths) == 1:
        return preview.strengths[0]
    fact = journal.fact("damping")
    return float(fact["value"]) if fact and fact["key"] == _damping_key(study, key, preview) else None


def _is_of_the_fit(study: Study, preview: PreviewMethod) -> bool:
    """Whether the damping is that of the method, which a validated fit may have raised."""
    named = study.recipe.posterior.damping is not None or isinstance(preview.rule, TaskArithmetic)
    return isinstance(preview.fit, FitSubspace) and not named


def _choose_damping(
    study: Study, journal: Journal, key: str, preview: PreviewMethod, curvatures: Curvatures, progress: Progress
) -> float:
    how = study.recipe.posterior.damping
    problem = study.require_problem(f"choosing the damping by {how}")
    started = time.perf_counter()
    with EnergyMeter() as meter:
        if how == "evidence":
            counts = (len(targets) for task in study.tasks for _, targets in problem.batches(task, preview.split))
            damping, evaluations = choose_by_evidence(curvatures.bare, sum(counts), preview.strengths), 0
        else:
            damping, evaluations = choose_strength(problem, study.base, study.finetunes, preview, curvatures, progress)
        cost = meter.charged(Ledger(evaluations=evaluations, seconds=time.perf_counter() - started))
    found = {"key": _damping_key(study, key, preview), "value": damping, "candidates": list(preview.strengths)}
    journal.conclude({"damping": found}, ("damping", cost))
    return damping
