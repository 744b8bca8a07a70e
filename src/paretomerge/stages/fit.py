"""`fit`: check the checkpoints, measure curvature, choose the damping, store the posteriors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from paretomerge.checkpoints import load_posterior, save_posterior
from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.curvature import Curvatures, FitIsotropic, fit_curvatures, isotropic_curvatures, measured_part
from paretomerge.merging import TaskArithmetic
from paretomerge.posteriors import Posterior, PredictedLoss, Subspace
from paretomerge.recipes import method
from paretomerge.runs import Journal, evaluation_key
from paretomerge.stages.previews import PreviewMethod, choose_strength, coordinates_loss, merged_models
from paretomerge.stages.scoring import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Ledger


@dataclass(frozen=True, eq=False)
class Fitted:
    """The posteriors of a run, ready to be merged: curvatures, chosen damping, and the merge rule."""

    study: Study
    method: PreviewMethod
    curvatures: Curvatures
    damping: float

    def models(self, weights: np.ndarray) -> Iterator[dict[str, Tensor]]:
        """Merged parameters at each weighting `[K, T]`."""
        return merged_models(self.study.base, self.method, self.curvatures, self.damping, weights)

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


def fit_run(study: Study, progress: Progress = silent) -> Fitted:
    """Fit the posteriors of a run, or load them if they are there.

    Raises:
        AlignmentError: base and finetunes do not fit.
        RecipeError: an unknown family or setting, or a family that needs data and a recipe without a problem.
    """
    recipe = study.recipe
    fit_method = method("posterior", recipe.posterior.family, recipe.posterior.settings)
    rule = method("rule", recipe.rule.name, recipe.rule.settings)
    if isinstance(rule, TaskArithmetic):
        strengths: tuple[float, ...] = (rule.scale,)  # a recipe's scale is a setting of its rule
    elif isinstance(fit_method, FitIsotropic):
        strengths = (0.0,)
    elif recipe.posterior.damping == "validation":
        strengths = recipe.posterior.dampings
    else:
        strengths = (fit_method.damping if recipe.posterior.damping is None else float(recipe.posterior.damping),)
    preview = PreviewMethod(recipe.posterior.family, fit_method, rule, strengths, split=recipe.posterior.split)
    with study.folder.open_journal() as journal:
        key = evaluation_key(
            checkpoints=study.digests,
            fit=repr(fit_method),
            split=preview.split,
            seed=recipe.seed,
            data=_data_digest(study, preview),
            what="curvature",
        )
        curvatures = _stored(study, journal, key, preview)
        if curvatures is None:
            study.check().raise_if_bad()
            curvatures = _measure(study, journal, key, preview, progress)
        damping = _damping(study, journal, key, preview, curvatures, progress)
    return Fitted(study, preview, curvatures, damping)


def _data_digest(study: Study, preview: PreviewMethod) -> str | None:
    """The problem whose curvature was measured; nothing for isotropic posteriors, which read no data."""
    if isinstance(preview.fit, FitIsotropic):
        return None
    study.require_problem(f"a {preview.fit.family} posterior")
    return study.problem_digest(preview.split)


def _measure(study: Study, journal: Journal, key: str, preview: PreviewMethod, progress: Progress) -> Curvatures:
    if isinstance(preview.fit, FitIsotropic):
        return isotropic_curvatures(study.finetunes, preview.fit)
    problem = study.require_problem(f"a {preview.fit.family} posterior")
    base, finetunes = dict(study.base), {task: dict(finetune) for task, finetune in study.finetunes.items()}
    curvatures = fit_curvatures(problem, base, finetunes, preview.fit, preview.split, study.recipe.seed, progress)
    # While files of another fit are being replaced, no fact may vouch for them.
    journal.note("curvature", None)
    for task, posterior in curvatures.bare.items():
        save_posterior(study.folder.posteriors / f"{_file_name(study, task)}.safetensors", posterior)
    facts = {task: [loss.offset, loss.examples] for task, loss in curvatures.losses.items()}
    journal.charge("fit", curvatures.ledger)
    journal.note("curvature", {"key": key, "losses": facts})
    return curvatures


def _stored(study: Study, journal: Journal, key: str, preview: PreviewMethod) -> Curvatures | None:
    fact = journal.fact("curvature")
    if not fact or fact["key"] != key:
        return None
    bare: dict[str, Posterior] = {}
    for task in study.tasks:
        path = study.folder.posteriors / f"{_file_name(study, task)}.safetensors"
        if not path.is_file():
            return None
        bare[task] = load_posterior(path)
    bare = _share_basis(bare)
    losses = {
        task: PredictedLoss(measured_part(bare[task]), offset, examples)
        for task, (offset, examples) in fact["losses"].items()
    }
    return Curvatures(preview.fit, bare, losses)


def _share_basis(bare: dict[str, Posterior]) -> dict[str, Posterior]:
    """Files hold a basis each; in memory one serves all tasks."""
    first = next(iter(bare.values()))
    if not isinstance(first, Subspace):
        return bare
    origin = {name: first.origin[name] for name in first.origin}
    directions = [{name: direction[name] for name in direction} for direction in first.basis.directions]
    basis = type(first.basis)(tuple(directions), first.basis.labels, first.basis.anchors)
    shared: dict[str, Posterior] = {}
    for task, posterior in bare.items():
        first.require_same_kind(posterior)
        assert isinstance(posterior, Subspace)
        shared[task] = Subspace(origin, basis, posterior.precision, posterior.precision_mean)
    return shared


def _damping(
    study: Study, journal: Journal, key: str, preview: PreviewMethod, curvatures: Curvatures, progress: Progress
) -> float:
    if len(preview.strengths) == 1:
        return preview.strengths[0]
    choice_key = evaluation_key(curvature=key, rule=repr(preview.rule), strengths=list(preview.strengths))
    fact = journal.fact("damping")
    if fact and fact["key"] == choice_key:
        return float(fact["value"])
    problem = study.require_problem("choosing the damping on validation data")
    started = time.perf_counter()
    damping, evaluations = choose_strength(problem, study.base, study.finetunes, preview, curvatures, progress)
    journal.charge("damping", Ledger(evaluations=evaluations, seconds=time.perf_counter() - started))
    journal.note("damping", {"key": choice_key, "value": damping, "candidates": list(preview.strengths)})
    return damping


def _file_name(study: Study, task: str) -> str:
    """A file name that no task name can turn into a path."""
    safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in task)
    return f"{study.tasks.index(task)}-{safe[:60]}"
