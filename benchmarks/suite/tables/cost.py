"""What it costs to know the front: retraining, merging, previews, searches."""

from __future__ import annotations

import numpy as np

from benchmarks.suite.measures.costs import GRID
from benchmarks.suite.results import AVERAGING, DEFAULT, Result, Results
from benchmarks.suite.tables.cells import NOTHING, amount, markdown, number, percent
from benchmarks.suite.tables.overview import in_floors
from benchmarks.suite.tables.searched_fronts import searches as searched

HEAD = (
    "setting",
    "what",
    "trainings",
    "gradient passes",
    "evaluations",
    "core-seconds",
    "share of the grid",
    "share by passes",
    "× floor",
    "hypervolume ratio",
)


def cost(results: Results) -> str:
    """The joint grid, the cheapest merge, the default, and the best search of each kind."""
    rows = [row for result in results.values() for row in rows_of(result)]
    return markdown(HEAD, rows) if rows else NOTHING


def rows_of(result: Result) -> list[list[str]]:
    """One setting."""
    found = [
        [
            result.name,
            f"joint finetuning, {GRID} weightings",
            str(GRID),
            *(amount(float(np.nanmean(result.grid(name)))) if name else "0" for name in GRID_COLUMNS),
            "100 %",
            "100 %",
            "",
            "",
        ]
    ]
    found += [method_row(result, name) for name in (AVERAGING, DEFAULT) if result.has(name, "share")]
    if result.has(DEFAULT, "share", "recalibrated_error_2"):
        found.append(recalibrated_row(result))
    return found + [method_row(result, name) for name in searches(result)]


SHOWN = (("informed", "weights"), ("MAP as published", "coefficients"), ("NSGA-II", "coefficients"))
UNITS = ("trainings", "gradient_passes", "evaluations", "core_seconds")
GRID_COLUMNS = ("gradient_passes", "", "core_seconds")


def method_row(result: Result, name: str) -> list[str]:
    """One method, single finetunes included."""
    costs = [
        amount(result.mean(name, unit)) for unit in ("trainings", "gradient_passes", "evaluations", "core_seconds")
    ]
    return [
        result.name,
        name,
        *costs,
        percent(result.mean(name, "share")),
        percent(result.mean(name, "share_of_passes")),
        in_floors(result, name, "loss_error"),
        number(result.mean(name, "hypervolume_ratio")),
    ]


def recalibrated_row(result: Result) -> list[str]:
    """The default and two joint trainings."""
    own = {unit: result.mean(DEFAULT, unit) or 0.0 for unit in ("trainings", "gradient_passes", "core_seconds")}
    more = {unit: 2 * float(np.nanmean(result.grid(unit))) / GRID for unit in own}
    shares = [
        (own[unit] + more[unit]) / float(np.nanmean(result.grid(unit))) for unit in ("core_seconds", "gradient_passes")
    ]
    return [
        result.name,
        f"{DEFAULT}, two joint runs",
        amount(own["trainings"] + 2),
        amount(own["gradient_passes"] + more["gradient_passes"]),
        amount(result.mean(DEFAULT, "evaluations")),
        amount(own["core_seconds"] + more["core_seconds"]),
        *(percent(share) for share in shares),
        in_floors(result, DEFAULT, "recalibrated_error_2"),
        "",
    ]


def searches(result: Result) -> list[str]:
    """A few searched fronts, by evaluations."""
    found = searched(result)
    return [name for key in SHOWN for _, name in sorted(found.get(key, {}).items())]
