"""The noise floor: how far joint finetuning is from itself with another seed."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.measures.fronts import fronts
from benchmarks.suite.measures.previews import previews
from benchmarks.suite.measures.regret import regret
from benchmarks.suite.measures.truth import LOSS, Truth


def floor(truth: Truth) -> dict[str, float]:
    """Every measure of joint grids with other seeds, as if they were previews; means over the repetitions.

    `hypervolume_off` is the distance of the hypervolume ratio from one, `loss_error_of_mean` the error that the mean of
    the other seeds' grids makes, and `loss_stdev` the standard deviation of one training's loss over seeds, root mean
    square over weightings and tasks.
    """
    if not truth.repeats:
        return {}
    each = []
    for again in truth.repeats:
        rows = list(range(len(again.weights)))
        compared = fronts(again, truth, rows)
        if "hypervolume_ratio" in compared:
            compared["hypervolume_off"] = abs(compared["hypervolume_ratio"] - 1)
        each.append({**previews(again, truth, rows), **compared, **regret(again, truth)})
    found = {name: float(np.mean([one[name] for one in each if name in one])) for name in each[0]}
    found.pop("loss_error_to_mean", None)  # the repetition is part of that mean
    rows = min(len(again.weights) for again in truth.repeats)
    first = truth.joint.scores(LOSS).values[:rows]
    others = np.stack([again.scores(LOSS).values[:rows] for again in truth.repeats])
    found["loss_error_of_mean"] = float(np.abs(others.mean(axis=0) - first).mean())
    found["loss_stdev"] = float(np.sqrt(np.var([first, *others], axis=0, ddof=1).mean()))
    return found
