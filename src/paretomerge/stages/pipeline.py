"""`run`: the whole pipeline in one call."""

from __future__ import annotations

import os

from paretomerge.choices import ChoiceRule
from paretomerge.recipes import Recipe
from paretomerge.stages.choose import choose_point
from paretomerge.stages.front import EstimatedFront, estimate_run_front
from paretomerge.stages.joint.verify import verify_run
from paretomerge.stages.report import report_run
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import open_study


def run(
    recipe: str | os.PathLike[str] | Recipe,
    out: str | os.PathLike[str] | None = None,
    *,
    choice: ChoiceRule | None = None,
    verify: int = 0,
    progress: Progress = silent,
) -> EstimatedFront:
    """From a recipe to a front: check, fit, evaluate, calibrate; then choose, verify and report.

    Calling it again continues an interrupted run: nothing that was measured is measured again.

    Args:
        recipe: a recipe file, a `Recipe`, or the folder of a run.
        out: the run folder; by default the recipe's name with `-run`.
        choice: how to choose a point; none is chosen when `None`.
        verify: how many points to verify by joint finetuning.
        progress: called with short messages.

    Returns:
        The front, the scores it was calibrated on, and the surrogate.
    """
    study = open_study(recipe, out)
    estimated = estimate_run_front(study, progress)
    if choice is not None:
        choose_point(study, choice, progress)
    if verify:
        verify_run(study, verify, progress)
    report_run(study, progress)
    return estimated
