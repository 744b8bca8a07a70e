"""Scores as a table of pandas and back: one row per model, one column per weight, value and standard error.

Columns, for the tasks `a` and `b` and the objective `a loss`: `weight[a]`, `weight[b]`, `value[a loss]`,
`stderr[a loss]`, `origin`. The brackets keep tasks and objectives of one name apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from paretomerge.errors import DataError, MissingExtraError
from paretomerge.types.objectives import Objective
from paretomerge.types.scores import ORIGINS, Scores

if TYPE_CHECKING:
    from pandas import DataFrame


def to_frame(scores: Scores, row: str = "model") -> DataFrame:
    """`scores` as a table; the index counts the rows and is called `row`.

    Raises:
        DataError: two objectives of one name, which a table cannot tell apart.
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError.of("pandas", "pandas") from error
    names = [objective.name for objective in scores.objectives]
    if len(set(names)) < len(names):
        raise DataError(f"objective names repeat: {', '.join(names)}. Name them apart, as in 'movie loss'")
    columns: dict[str, object] = {f"weight[{task}]": scores.weights[:, t] for t, task in enumerate(scores.tasks)}
    for m, name in enumerate(names):
        columns[f"value[{name}]"] = scores.values[:, m]
        columns[f"stderr[{name}]"] = scores.stderr[:, m]
    columns["origin"] = pd.Categorical(scores.origin, categories=list(ORIGINS))
    return pd.DataFrame(columns, index=pd.RangeIndex(len(scores), name=row), copy=True)


def from_frame(frame: DataFrame, objectives: Sequence[Objective]) -> Scores:
    """The inverse of `to_frame`, for a table of which rows were taken, or that was written by hand.

    Args:
        frame: with the columns `weight[...]`, `value[...]` of each objective, and `origin`; a missing `stderr[...]`
            counts as exact. Other columns are ignored.
        objectives: what the values are, which a table cannot say; also which of them are taken.

    Raises:
        DataError: columns that are missing, or numbers that `Scores` refuses.
    """
    labels = [str(label) for label in frame.columns]
    tasks = tuple(label[7:-1] for label in labels if label.startswith("weight[") and label.endswith("]"))
    wanted = [f"value[{objective.name}]" for objective in objectives]
    missing = [label for label in (*wanted, "origin") if label not in labels]
    if missing or not tasks:
        raise DataError(
            f"the table lacks the column {(missing or ['weight[TASK]'])[0]!r}: it has {', '.join(labels) or 'none'}. "
            "`Scores.to_pandas` shows how columns are named"
        )
    count = len(frame)
    errors = [f"stderr[{objective.name}]" for objective in objectives]
    stderr = [_numbers(frame, label) if label in labels else np.zeros(count) for label in errors]
    return Scores(
        tasks,
        np.stack([_numbers(frame, f"weight[{task}]") for task in tasks], axis=1),
        np.stack([_numbers(frame, label) for label in wanted], axis=1),
        np.stack(stderr, axis=1),
        tuple(objectives),
        tuple(str(word) for word in frame["origin"]),  # type: ignore[misc]
    )


def _numbers(frame: DataFrame, label: str) -> np.ndarray:
    try:
        return np.asarray(frame[label], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"the column {label!r} of the table does not hold one number per row: {error}") from error
