"""Front error against curvature error: do better curvatures make better previews?"""

from __future__ import annotations

import numpy as np

from benchmarks.suite.results import AVERAGING, Result, Results
from benchmarks.suite.tables.cells import markdown, number

HEAD = (
    "setting",
    "methods",
    "rank correlation, all",
    "rank correlation, at the finetunes or between",
    "rank correlation, centred",
    "errors of curvature",
    "errors of previews, × averaging",
)


def curvature(results: Results) -> str:
    """Spearman's correlation over methods, by setting."""
    return markdown(HEAD, [row(one, found) for one in results.values() if len(found := points(one)) > 2])


def points(result: Result) -> list[tuple[float, float, str, bool]]:
    """`(curvature error, preview error over averaging's, family, whether centred)` of the methods that have both."""
    if not result.has(AVERAGING, "loss_error"):
        return []
    plain, found = result.values(AVERAGING, "loss_error"), []
    for name in result.of_kind("preview"):
        error = curvature_error(result, name)
        ours, theirs = result.pair(name, "loss_error", plain)
        if error is not None and len(ours):
            family = result.factor(name, "family") or ""
            found.append((error, float(ours.mean() / theirs.mean()), family, is_centred(result, name)))
    return found


def curvature_error(result: Result, name: str) -> float | None:
    """Mean over seeds."""
    known = [value for value in result.methods[name]["facts"].get("curvature_error", []) if value is not None]
    return float(np.mean(known)) if known else None


def is_centred(result: Result, name: str) -> bool:
    """Whether a gradient is part of the expansion."""
    return result.factor(name, "location") == "centred"


def row(result: Result, found: list[tuple[float, float, str, bool]]) -> list[str]:
    """One setting."""
    parts = [found, [one for one in found if not one[3]], [one for one in found if one[3]]]
    errors, previews = ([one[column] for one in found] for column in (0, 1))
    return [
        result.name,
        str(len(found)),
        *(number(correlation(part), 2) for part in parts),
        f"{min(errors):.2f} to {max(errors):.2f}",
        f"{min(previews):.2f} to {max(previews):.2f}",
    ]


def correlation(found: list[tuple[float, float, str, bool]]) -> float | None:
    """Spearman's, of three methods or more."""
    if len(found) < 3:
        return None
    from scipy import stats  # slow to import

    one, other = ([point[column] for point in found] for column in (0, 1))
    return None if np.ptp(one) == 0 or np.ptp(other) == 0 else float(stats.spearmanr(one, other)[0])
