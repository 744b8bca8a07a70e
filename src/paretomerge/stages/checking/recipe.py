"""`check` of a recipe: everything that can be known before a minute is spent, every problem at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from paretomerge.checkpoints import Alignment, Checkpoint, open_checkpoint
from paretomerge.errors import AlignmentError, DataError
from paretomerge.recipes import Recipe, load_recipe, method
from paretomerge.runs import RunFolder
from paretomerge.stages.check import Preflight, check_models
from paretomerge.stages.checking.costs import RunCost, estimate_run
from paretomerge.stages.checking.rows import CheckRow, Rows
from paretomerge.stages.checking.trials import Trial, try_models
from paretomerge.stages.evaluating.evaluators import check_evaluators
from paretomerge.stages.front import recipe_constraints, traded_objectives
from paretomerge.stages.problems import load_problem
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Problem, Split


@dataclass(frozen=True, eq=False)
class RecipeCheck:
    """What `check` found of a recipe.

    Attributes:
        preflight: how the checkpoints fit; `None` where they cannot be opened.
        cost: what the run will take; `None` where that was not asked for, or something is in the way.
    """

    _found: Rows = field(repr=False)
    preflight: Preflight | None
    cost: RunCost | None = None

    @property
    def rows(self) -> tuple[CheckRow, ...]:
        """One or more per check, in their order."""
        return tuple(self._found.rows)

    @property
    def ok(self) -> bool:
        """Whether nothing is in the way."""
        return not any(row.status == "error" for row in self.rows)

    @property
    def alignment(self) -> Alignment | None:
        """How the checkpoints fit each other."""
        return None if self.preflight is None else self.preflight.alignment

    def raise_if_bad(self) -> RecipeCheck:
        """Return itself, or raise what is in the way.

        Raises:
            ParetomergeError: the error there was, or `InputError` that lists several.
        """
        self._found.raise_if_bad()
        return self

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON: those of the pre-flight, the rows and the cost."""
        preflight = {} if self.preflight is None else self.preflight.as_dict()
        cost = None if self.cost is None else self.cost.as_dict()
        return preflight | {"ok": self.ok, "rows": [row.as_dict() for row in self.rows], "cost": cost}


def check_recipe(
    recipe_or_run: str | os.PathLike[str],
    max_distance: float | None = None,
    *,
    quick: bool = False,
    progress: Progress = silent,
) -> RecipeCheck:
    """Check a recipe: methods, checkpoints, data and labels, evaluators, a few examples through the models, and cost.

    Nothing is written, and everything that is wrong is found at once; what depends on something broken is left out.

    Args:
        recipe_or_run: a recipe file, or the folder of a run.
        max_distance: instead of the recipe's own.
        quick: leave out what runs the model: the trial of base and finetunes, and the cost.
        progress: called with short messages.

    Raises:
        RecipeError: a recipe that cannot be read or has an unknown key. What is wrong with what it names is no
            exception but a row: see `RecipeCheck.raise_if_bad`.
    """
    path = Path(recipe_or_run)
    folder = RunFolder(path).require() if path.is_dir() else RunFolder(path.with_name(path.stem + "-run"))
    recipe = load_recipe(folder.recipe if path.is_dir() else path)
    rows = Rows()
    rows.ok("recipe", f"{len(recipe.tasks)} tasks: {', '.join(recipe.tasks)}")
    _check_methods(rows, recipe)
    progress("reading the checkpoints")
    preflight = rows.attempt("checkpoints", lambda: _align(rows, recipe, max_distance))
    progress("reading the examples")
    base = preflight.repaired.base if preflight else _base_alone(recipe)
    before = len(rows.errors)
    problem = rows.attempt("data", lambda: _read_data(rows, recipe, base)) if base is not None else None
    if preflight is None or len(rows.errors) > before:
        return RecipeCheck(rows, preflight)
    study = Study(recipe, folder, preflight.repaired.base, preflight.repaired.finetunes, problem)
    _check_measurements(rows, study)
    cost = None
    if not quick and not rows.errors:
        progress("a few examples through base and finetunes")
        trial = rows.attempt("model", lambda: _tried(rows, study))
        if not rows.errors:
            progress("timing the posteriors on a few examples")
            cost = rows.attempt("cost", lambda: estimate_run(rows, study, trial))
    return RecipeCheck(rows, preflight, cost)


def _check_methods(rows: Rows, recipe: Recipe) -> None:
    posterior, rule, front = recipe.posterior, recipe.rule, recipe.front
    before = len(rows.errors)
    rows.attempt("posterior", lambda: method("posterior", posterior.family, posterior.settings))
    rows.attempt("rule", lambda: method("rule", rule.name, rule.settings))
    rows.attempt("front", lambda: method("front", front.method, front.settings))
    if len(rows.errors) == before:
        family = "from files" if posterior.files else posterior.family
        rows.ok("methods", f"posterior {family}, rule {rule.name}, front {front.method}")


def _align(rows: Rows, recipe: Recipe, max_distance: float | None) -> Preflight:
    tasks = {task: section.checkpoint for task, section in recipe.tasks.items()}
    found = check_models(recipe.base, tasks, max_distance=recipe.max_distance if max_distance is None else max_distance)
    try:
        found.raise_if_bad()
    except AlignmentError as error:
        rows.fail("checkpoints", error)
        return found
    for finding in found.alignment.warnings:
        rows.warn("checkpoints", f"{finding.task or 'base'}: {finding.message}")
    rows.ok("checkpoints", "base and finetunes fit each other")
    return found


def _base_alone(recipe: Recipe) -> Checkpoint | None:
    """The base, so that data are checked too where a finetune cannot be opened."""
    try:
        return open_checkpoint(recipe.base)
    except Exception:  # what is wrong with it is a row already
        return None


def _read_data(rows: Rows, recipe: Recipe, base: Checkpoint) -> Problem | None:
    problem = load_problem(recipe, base)
    if problem is None:
        return None
    needed: dict[Split, str] = {}
    if recipe.posterior.family != "isotropic" and not recipe.posterior.files:
        needed[recipe.posterior.split] = "posteriors are fitted on it"
    if not recipe.evaluators:
        needed[recipe.front.split] = "merged models are measured on it"
    for task in recipe.tasks:
        counts = []
        for split, use in needed.items():
            try:
                counts.append(f"{problem.count_examples(task, split):,} {split}")
            except DataError as error:
                raise DataError(f"{error} (the {split} split is needed: {use})") from error
        rows.ok("data", f"{task}: {', '.join(counts) or 'read'}")
    return problem


def _check_measurements(rows: Rows, study: Study) -> None:
    """The evaluator's sections, and that what the front trades off and limits is measured."""
    found = check_evaluators(study)
    for section in found:
        if section.error:
            rows.fail("evaluator", DataError(section.error))
        else:
            rows.ok("evaluator", section.what)
    if any(section.error for section in found):
        return
    traded = rows.attempt("front", lambda: traded_objectives(study))
    rows.attempt("front", lambda: recipe_constraints(study))
    if traded is not None:
        rows.ok("front", f"trades off {', '.join(objective.name for objective in traded)}")


def _tried(rows: Rows, study: Study) -> Trial | None:
    """A few examples through the models, where the recipe has a problem whose own loss can be taken."""
    if study.problem is None:
        return None
    return try_models(rows, study.problem, study.base, study.finetunes, study.recipe.front.split)
