"""What can be measured of a problem by name: which way is better, bounds, unit, and of which problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paretomerge.errors import DataError, nearest
from paretomerge.types import Direction, LikelihoodName, Objective, Problem

_TOKENS: tuple[LikelihoodName, ...] = ("tokens", "causal")
_LABELS: tuple[LikelihoodName, ...] = ("categorical", *_TOKENS)


@dataclass(frozen=True)
class Metric:
    """One thing that can be measured.

    Args:
        direction: which way is better.
        bounds: lowest and highest possible value.
        likelihoods: the problems that have it.
        source: what it is computed from: a forward pass over batches, answers that the model writes, or the
            likelihoods of given choices.
        unit: empty where it has none; the loss takes the likelihood's.
    """

    direction: Direction
    bounds: tuple[float | None, float | None]
    likelihoods: tuple[LikelihoodName, ...]
    source: Literal["batches", "answers", "choices"] = "batches"
    unit: str = ""


METRICS: dict[str, Metric] = {
    "loss": Metric("minimise", (0.0, None), ("gaussian", *_LABELS), unit="nats"),
    "accuracy": Metric("maximise", (0.0, 1.0), _LABELS),
    "f1": Metric("maximise", (0.0, 1.0), ("categorical",)),
    "perplexity": Metric("minimise", (1.0, None), _TOKENS),
    "exact_match": Metric("maximise", (0.0, 1.0), ("causal",), "answers"),
    "choice_accuracy": Metric("maximise", (0.0, 1.0), ("causal",), "choices"),
    "choice_accuracy_norm": Metric("maximise", (0.0, 1.0), ("causal",), "choices"),
}
"""Every metric of a problem by name."""

NOT_MEANS = ("f1", "perplexity")
"""Metrics that are no mean over examples, see `evaluation.ratios`: they cannot be measured part by part.

A function of one's own may call a mean so (the F1 of an answer's words, say), so evaluators say it by themselves.
"""


def metrics_of(problem: Problem) -> tuple[str, ...]:
    """The metrics that a problem can have; a loss of the problem's own is all that is known of it."""
    if problem.loss_fn is not None:
        return ("loss",)
    return tuple(name for name, metric in METRICS.items() if problem.likelihood in metric.likelihoods)


def require_metrics(problem: Problem, metrics: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics that are wanted: loss and, where there are labels, accuracy by default.

    Raises:
        DataError: none, one twice, or one that the problem does not have, with those it has.
    """
    known = metrics_of(problem)
    if metrics is None:
        return tuple(name for name in ("loss", "accuracy") if name in known)
    wanted = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    if not wanted or len(set(wanted)) < len(wanted):
        raise DataError(f"metrics: name each once, and at least one of {', '.join(known)}; got {', '.join(wanted)}")
    for name in wanted:
        if name not in known:
            whose = "a loss of its own" if problem.loss_fn is not None else f"the likelihood {problem.likelihood!r}"
            guess = nearest(str(name), known) if name not in METRICS else ""
            raise DataError(f"metrics: a problem with {whose} has no {name!r}{guess}: it has {', '.join(known)}")
    return wanted


def problem_objectives(problem: Problem, metrics: Sequence[str] | None = None) -> tuple[Objective, ...]:
    """`metric[task]` for every metric, and for each of them every task; loss and accuracy by default.

    A loss of the problem's own has no unit and no bounds that were known.

    Raises:
        DataError: as `require_metrics`.
    """
    return tuple(
        Objective(f"{name}[{task}]", METRICS[name].direction, _unit(problem, name), _bounds(problem, name), task, name)
        for name in require_metrics(problem, metrics)
        for task in problem.tasks
    )


def _unit(problem: Problem, name: str) -> str:
    unit = METRICS[name].unit if problem.loss_fn is None else ""
    return f"{unit} per token" if unit and problem.likelihood in _TOKENS else unit


def _bounds(problem: Problem, name: str) -> tuple[float | None, float | None]:
    return METRICS[name].bounds if problem.loss_fn is None else (None, None)
