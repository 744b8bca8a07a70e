"""Parameters to numbers: run an evaluator on models, and turn per-example scores into means with errors.

Shapes: `N` models, `M` objectives, `n` examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from paretomerge.errors import DataError, EvaluationError, ParetomergeError
from paretomerge.types import Objective, Origin, Params, Scores, Weights

PerExample = Any
"""Per-example scores: an array `[n]`, or a mapping metric → array `[n]` when there are several metrics."""

Evaluator = Callable[..., PerExample]
"""`(model, task) → per-example scores`."""

Metrics = Mapping[str, np.ndarray]
"""What was measured of one model on one task: metric → per-example scores `[n]`."""

STDERR = "_stderr"
"""`{"acc": 0.91, "acc_stderr": 0.01}`: a lone number may come with its standard error, under its name with this."""


LARGEST_SCORE = 1e100
"""Of squares of larger numbers nothing finite is left."""

LONGEST_NAME = 500


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model's scores on every objective: mean, standard error, and the per-example scores behind them."""

    values: np.ndarray
    stderr: np.ndarray
    examples: Mapping[str, np.ndarray] = field(default_factory=dict)


def evaluate(
    models: Iterable[Params],
    weights: Any,
    evaluator: Evaluator,
    objectives: Sequence[Objective],
    *,
    tasks: Sequence[str] | None = None,
    origin: Origin = "merged",
    on_result: Callable[[int, Evaluation], None] = lambda index, result: None,
) -> Scores:
    """Score `N` models on `M` objectives.

    Args:
        models: the models' parameters, one at a time (a generator keeps one in memory).
        weights: the weighting each model was made with, `[N, T]` (or `Weights`).
        evaluator: `(model, task) → per-example scores`; called once per model and task. It gets each element of
            `models` as it is; `SupervisedEvaluator` loads parameters into a live module.
        objectives: what is read from the scores; each names its task and metric.
        tasks: task names, the columns of `weights`; when `None`, those of `Weights`, else the objectives' tasks.
        origin: `"merged"` or `"trained"`.
        on_result: called with the model's number and its result as soon as it is there.

    Raises:
        EvaluationError: the evaluator raised, or returned something that is not scores.
        DataError: an empty evaluation set, or a number of weightings other than of models.
        WeightsError: `Weights` for other tasks.
    """
    if not objectives:
        raise DataError("no objectives: name at least one thing to measure")
    if tasks is None:
        given = weights.tasks if isinstance(weights, Weights) else (objective.task for objective in objectives)
        tasks = list(dict.fromkeys(given))
    batch = _weightings(weights, tasks)
    results = []
    for index, model in enumerate(models):
        results.append(evaluate_one(model, evaluator, objectives))
        on_result(index, results[-1])
    if len(results) != len(batch):
        raise DataError(f"{len(results)} models but {len(batch)} weightings: give one weighting per model")
    values = np.array([result.values for result in results]).reshape(len(results), len(objectives))
    stderr = np.array([result.stderr for result in results]).reshape(len(results), len(objectives))
    return Scores(tuple(tasks), batch, values, stderr, tuple(objectives), (origin,) * len(results))


def evaluate_one(model: Any, evaluator: Evaluator, objectives: Sequence[Objective]) -> Evaluation:
    """Score one model on every objective, calling the evaluator once per task."""
    tasks = dict.fromkeys(objective.task for objective in objectives)
    return as_evaluation(measure_tasks(model, evaluator, tasks), objectives)


def measure_tasks(
    model: Any, evaluator: Evaluator, tasks: Iterable[str], examples: Mapping[str, np.ndarray] | None = None
) -> dict[str, Metrics]:
    """Every metric that an evaluator has of one model: task → metric → per-example scores `[n]`.

    Args:
        model: what the evaluator takes.
        evaluator: called once per task.
        tasks: the tasks.
        examples: task → numbers of the examples that are scored, in this order; all of a task that is not named. The
            evaluator must take them as its keyword `examples`, see `evaluation.subsets`.

    Raises:
        EvaluationError: the evaluator raised, or returned something that is not scores.
        DataError: an empty evaluation set.
    """
    measured = {}
    for task in tasks:
        wanted = None if examples is None else examples.get(task)
        try:
            returned = evaluator(model, task) if wanted is None else evaluator(model, task, examples=wanted)
        except ParetomergeError:
            raise
        except Exception as error:
            raise EvaluationError(f"the evaluator failed on task {task!r}: {type(error).__name__}: {error}") from error
        measured[task] = _as_metrics(returned, task)
        if wanted is not None:
            _require_count(measured[task], len(wanted), task)
    return measured


def as_evaluation(measured: Mapping[str, Metrics], objectives: Sequence[Objective]) -> Evaluation:
    """The objectives' scores out of what was measured per task.

    A lone number has the standard error that the evaluator gave beside it, as `<metric>_stderr`.

    Raises:
        EvaluationError: a metric that the evaluator did not return, or a standard error that is none.
    """
    columns = [_column(measured[objective.task], objective) for objective in objectives]
    return Evaluation(
        np.array([column.mean() for _, column in columns]),
        np.array(
            [
                _error_of(measured[objective.task], metric, column, objective)
                for objective, (metric, column) in zip(objectives, columns, strict=True)
            ]
        ),
        {objective.name: column for objective, (_, column) in zip(objectives, columns, strict=True)},
    )


def standard_error(scores: np.ndarray) -> float:
    """`s / √n` of per-example scores; zero for a single aggregate score, whose error nobody can know."""
    return float(scores.std(ddof=1) / math.sqrt(len(scores))) if len(scores) > 1 else 0.0


def _weightings(weights: Any, tasks: Sequence[str]) -> np.ndarray:
    """`[N, T]` in the order of `tasks`; arrays may hold coefficients of any sign."""
    if isinstance(weights, Weights):
        return Weights.of(weights, tasks, on_simplex=False).batch
    try:
        return np.asarray(weights, float).reshape(-1, len(tasks))
    except (TypeError, ValueError) as error:
        raise DataError(f"weights must be an array [models, {len(tasks)} tasks], got {weights!r:.80}") from error


def _as_metrics(returned: PerExample, task: str) -> Metrics:
    metrics = returned if isinstance(returned, Mapping) else {"": returned}
    if not metrics:
        raise EvaluationError(f"the evaluator returned no metric for task {task!r}")
    return {
        _as_name(metric, task): _as_scores(values, task, _as_name(metric, task)) for metric, values in metrics.items()
    }


def _as_name(metric: object, task: str) -> str:
    """The name of a metric, as it can be stored and shown."""
    name = str(metric)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise EvaluationError(f"a metric of task {task!r} has a name that is no valid text: {name[:80]!r}") from None
    if len(name) > LONGEST_NAME or "\0" in name:
        raise EvaluationError(f"a metric of task {task!r} has a name that cannot be meant: {name[:80]!r}")
    return name


def _require_count(metrics: Metrics, count: int, task: str) -> None:
    for metric, scores in metrics.items():
        if len(scores) != count:
            raise EvaluationError(
                f"the evaluator was asked for {count} examples of task {task!r} and returned {len(scores)} as the "
                f"{metric or 'score'}: it must score the numbered `examples`, one score each, in their order"
            )


def _as_scores(values: Any, task: str, metric: str) -> np.ndarray:
    what = f"{metric or 'score'} of task {task!r}"
    if values is None:
        raise EvaluationError(f"the evaluator returned nothing as the {what}: return one score per example, [n]")
    try:
        array = _as_numbers(values)
    # whatever an evaluator gave back, and whatever it says when it is asked for its numbers
    except Exception as error:
        raise EvaluationError(f"the {what} is not a number or an array of numbers: {_brief(values)}") from error
    array = np.atleast_1d(array)
    if array.ndim != 1:
        raise EvaluationError(f"the {what} has shape {list(array.shape)}: return one score per example, [n]")
    if not len(array):
        raise DataError(f"the evaluation set of task {task!r} is empty: check the data path, filters and split sizes")
    if not np.isfinite(array).all():
        raise EvaluationError(
            f"the {what} is NaN or infinite on {int((~np.isfinite(array)).sum())} of {len(array)} examples: "
            "the model diverged, or the metric is undefined there"
        )
    if np.abs(array).max() > LARGEST_SCORE:
        raise EvaluationError(
            f"the {what} has a score of size {np.abs(array).max():.3g}: beyond {LARGEST_SCORE:g} means and errors "
            "cannot be formed; the model diverged, or the metric is in the wrong unit"
        )
    return array


def _as_numbers(values: Any) -> np.ndarray:
    """Numbers as float64; text that looks like numbers, dates and complex numbers are none."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        if values.is_complex():
            raise TypeError("complex numbers")
        return values.double().numpy()
    array = np.asarray(values)
    is_object = array.dtype.kind == "O" and not any(isinstance(value, str | bytes) for value in array.ravel())
    if array.dtype.kind not in "biuf" and not is_object:
        raise TypeError(f"values of the type {array.dtype}")
    return array.astype(float)


def _brief(value: Any) -> str:
    try:
        return f"{value!r:.80}" if not isinstance(value, str | bytes) else repr(value[:80])
    except Exception:
        return f"a {type(value).__name__}"


def _column(metrics: Metrics, objective: Objective) -> tuple[str, np.ndarray]:
    """The metric that an objective reads, and its scores."""
    if objective.metric in metrics:
        return objective.metric, metrics[objective.metric]
    proper = [metric for metric in metrics if not _is_error(metrics, metric)]
    if not objective.metric and len(proper) == 1:
        return proper[0], metrics[proper[0]]
    raise EvaluationError(
        f"objective {objective.name!r} needs the metric {objective.metric!r}, but the evaluator returned "
        f"{', '.join(map(repr, metrics))} for task {objective.task!r}"
    )


def _is_error(metrics: Metrics, name: str) -> bool:
    """Whether a name is that of another metric's standard error."""
    return name.endswith(STDERR) and name.removesuffix(STDERR) in metrics


def _error_of(metrics: Metrics, metric: str, column: np.ndarray, objective: Objective) -> float:
    """Of the mean: from per-example scores, else as the evaluator says."""
    given = metrics.get(metric + STDERR)
    if len(column) > 1 or given is None:
        return standard_error(column)
    if len(given) != 1 or given[0] < 0:
        raise EvaluationError(
            f"the {metric + STDERR} of task {objective.task!r} is {given.tolist()[:3]}: give one number of at least 0 "
            f"beside the number {metric!r}"
        )
    return float(given[0])
