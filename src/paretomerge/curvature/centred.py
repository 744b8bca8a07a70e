"""A task's loss expanded where merges land, gradient included, for families over plain parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paretomerge.curvature.families import TaskCurvature, TaskData
from paretomerge.curvature.gradients import loss_gradient
from paretomerge.posteriors import Expanded
from paretomerge.types import Params


def expand_centred(
    task: TaskData, centre: Params, fit: Callable[[TaskData, Sequence[Params]], TaskCurvature]
) -> TaskCurvature:
    """Curvature at the centre, and the gradient there over all examples; the prior will pull to the finetune.

    Args:
        task: its `mean` is the finetune.
        centre: where the loss is expanded.
        fit: how the family measures curvature.
    """
    found = fit(replace(task, mean=centre), [centre])
    slope = loss_gradient(task.model, centre, task.batches)
    anchor = {name: task.mean[name] for name in slope.gradient}
    assert not isinstance(found.posterior, Expanded)
    expanded = Expanded(found.posterior, slope.gradient, anchor)
    return replace(found, posterior=expanded, passes=found.passes + slope.examples)
