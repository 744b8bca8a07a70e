"""Fits of posteriors to a setting, kept where several methods need the same one; each of them pays for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from benchmarks.suite.curvature_error import EXAMPLES, Truth, curvature_error
from benchmarks.suite.methods.base import Stopwatch
from benchmarks.suite.setting import Setting, unchanged
from paretomerge import Problem, fit_curvatures
from paretomerge.curvature import Curvatures, FitMethod, average
from paretomerge.curvature.examples import take_examples
from paretomerge.types import Batch, Params, Split

LARGEST_KEPT = 50_000_000
"""Parameters of a model whose fits are kept: nine models' worth of directions each."""
FULL_TRUTH = 2_000_000
"""Parameters up to which the true curvature is measured on as many examples as it says."""
TRUTH_OF_LARGE = 300
"""Examples per task of the truth, for larger models."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit, and its price.

    Args:
        curvatures: with the ledger of the fit.
        base: what merges start from: the setting's base, with the batch statistics of the average.
        core_seconds: that another method has already spent on it; what this one spends itself is seen by its watch.
    """

    curvatures: Curvatures
    base: Params
    core_seconds: float = 0.0


def fit_once(setting: Setting, method: FitMethod, *, keep: bool = False, repeat: int = 0) -> Fitted:
    """Posteriors of the single finetunes.

    Args:
        setting: whose finetunes; also how many examples curvature sees, and groups, where the method leaves them at
            their defaults.
        method: family, route, location.
        keep: for the next method with the same fit.
        repeat: which runs of the finetunes.
    """
    return fit_runs(setting, run_of(setting, repeat), fitted_to(setting, method), keep, repeat)


def fit_runs(
    setting: Setting, finetunes: dict[str, Params], method: FitMethod, keep: bool = False, name: Hashable = ()
) -> Fitted:
    """Posteriors of given finetunes; `name` tells which, if they are kept."""
    return _kept(setting, (method, name), keep, lambda: _fit(setting, finetunes, method))


def run_of(setting: Setting, repeat: int) -> dict[str, Params]:
    """The single finetunes of one seed."""
    if repeat == 0:
        return setting.finetunes
    corners = np.eye(len(setting.tasks))
    return {task: setting.train(row, repeat) for task, row in zip(setting.tasks, corners, strict=True)}


def _fit(setting: Setting, finetunes: dict[str, Params], method: FitMethod) -> Fitted:
    base = base_for(setting, finetunes)
    return Fitted(fit_curvatures(setting.problem, base, finetunes, method, seed=setting.seed), base)


def _kept(setting: Setting, name: Hashable, keep: bool, make: Callable[[], Fitted]) -> Fitted:
    shelf = _KEPT.setdefault(setting, {})
    if name in shelf:
        return shelf[name]
    watch = Stopwatch()
    made = make()
    if keep and size(setting) <= LARGEST_KEPT:
        shelf[name] = replace(made, core_seconds=watch.seconds)
    return made


_KEPT: WeakKeyDictionary[Setting, dict[Hashable, Fitted]] = WeakKeyDictionary()
_TRUTHS: WeakKeyDictionary[Setting, Truth] = WeakKeyDictionary()


def fitted_to(setting: Setting, method: FitMethod) -> Any:
    """The fit with the setting's number of examples and its groups, where it has them and leaves them at defaults.

    Gradients cost one backward pass per example, so all examples have theirs, as in the package.
    """
    wanted: dict[str, Any] = {"examples": setting.examples, "groups": setting.groups}
    known = {field.name: field.default for field in fields(method)}
    changed: dict[str, Any] = {
        name: value for name, value in wanted.items() if name in known and getattr(method, name) == known[name]
    }
    if known.get("diagonal") == "ggn" and setting.problem.likelihood in ("tokens", "causal"):
        changed["diagonal"] = "true"  # exactly, it takes a pass for every word of the vocabulary at every position
    return replace(method, **changed)


def base_for(setting: Setting, finetunes: dict[str, Params]) -> Params:
    """The base, its batch statistics those of the average: around it, expansions and merges would see others'."""
    if setting.finish is unchanged:
        return setting.base
    trained = {name for name, parameter in setting.problem.build().named_parameters() if parameter.requires_grad}
    ready = setting.finish(average(finetunes), equal(setting))
    return {name: tensor if name in trained else ready.get(name, tensor) for name, tensor in setting.base.items()}


def equal(setting: Setting) -> np.ndarray:
    """Equal weights `[T]`."""
    return np.full(len(setting.tasks), 1 / len(setting.tasks))


def size(setting: Setting) -> int:
    """Parameters of the model."""
    return sum(tensor.numel() for tensor in setting.base.values())


def few_examples(problem: Problem, count: int) -> Problem:
    """The same with the first `count` training examples only."""

    def data(task: str, split: Split) -> list[Batch]:
        batches = problem.data(task, split)
        return list(take_examples(batches, count) if split == "training" else batches)

    return replace(problem, data=data)


def error_of(setting: Setting, curvatures: Curvatures) -> dict[str, float]:
    """`curvature_error`, where the family can say what its curvature is and the truth can be had."""
    if size(setting) > LARGEST_KEPT:
        return {}
    if setting not in _TRUTHS:
        with setting.precision():
            _TRUTHS[setting] = true_curvature(setting)
    error = curvature_error(_TRUTHS[setting], curvatures)
    return {} if error is None else {"curvature_error": error}


def true_curvature(setting: Setting) -> Truth:
    """What the curvature of posteriors is held against."""
    count = EXAMPLES if size(setting) <= FULL_TRUTH else TRUTH_OF_LARGE
    centre = setting.finish(average(setting.finetunes), equal(setting))
    return Truth.of(setting.problem, setting.base, setting.finetunes, count, centre)
