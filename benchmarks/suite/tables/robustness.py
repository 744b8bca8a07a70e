"""How previews fare as tasks grow apart, models grow, and data become unequal."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.results import AVERAGING, DEFAULT, Result, Results, numbers
from benchmarks.suite.tables.cells import amount, markdown, number
from benchmarks.suite.tables.overview import in_floors


def robustness(results: Results) -> str:
    """All settings, the most similar tasks first; what is not known of similarity is left out."""
    used = [one for one in results.values() if one.has(DEFAULT, "loss_error") or one.has(AVERAGING, "loss_error")]
    keys = [key for key, _ in SIMILARITY if any(key in one.stored["similarity"] for one in used)]
    titles = dict(SIMILARITY)
    head = ["setting", "tasks", "parameters", *(titles[key] for key in keys)]
    head += ["averaging, error", "averaging, × floor", "default, error", "default, × floor", "default / averaging"]
    used.sort(key=lambda one: -(similarity(one, keys[0]) or -np.inf) if keys else 0)
    return markdown(head, [row(one, keys) for one in used])


SIMILARITY = (
    ("task_vector_cosine", "cosine of task vectors"),
    ("gradient_cosine_base", "of gradients, at the base"),
    ("gradient_cosine_average", "at the average"),
    ("distance", "distance"),
    ("least_transfer", "least transfer"),
)


def similarity(result: Result, key: str) -> float | None:
    """Mean over seeds."""
    found = numbers(result.stored["similarity"].get(key, [None]))
    return float(np.nanmean(found)) if np.isfinite(found).any() else None


def row(result: Result, keys: list[str]) -> list[str]:
    """One setting."""
    return [
        result.name,
        str(len(result.stored["tasks"])),
        amount(result.stored["sizes"]["parameters"]),
        *(number(similarity(result, key), 2) for key in keys),
        *(
            cell
            for method in (AVERAGING, DEFAULT)
            for cell in (
                number(result.mean(method, "loss_error") if result.has(method) else None, 4),
                in_floors(result, method, "loss_error"),
            )
        ),
        number(relative(result), 2),
    ]


def relative(result: Result) -> float | None:
    """The default's error over averaging's."""
    if not (result.has(AVERAGING, "loss_error") and result.has(DEFAULT, "loss_error")):
        return None
    ours, plain = result.pair(DEFAULT, "loss_error", result.values(AVERAGING, "loss_error"))
    return float(ours.mean() / plain.mean()) if len(ours) else None
