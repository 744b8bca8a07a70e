"""The seeds of a setting side by side: what is committed of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.suite.measures import UNCERTAINTY
from benchmarks.suite.results import JOINT_RUNS
from benchmarks.suite.uncertainty import pooled

FACTS = (
    *("curvature_error", "strength", "settings", "trained_rows", "evaluations", "trainings", "steps"),
    *("against_ours", "ours_against_another_draw", "versions"),
)
"""Those that are committed."""
OF_STUDIES = (
    "loss_error",
    "accuracy_error",
    "hypervolume_ratio",
    "rank_correlation",
    "trainings",
    "gradient_passes",
    "evaluations",
    "core_seconds",
    "share",
    "share_of_passes",
)
"""Measures that are committed of methods which belong to a study; of others, and of joint runs, all are."""
FIRST_TUNING_SEED = 100
"""Settings are chosen on these and later seeds, which are no results."""


def seed_folders(folder: Path, seeds: Sequence[int] | None = None) -> list[Path]:
    """The folders of the seeds that are reported, smallest first."""
    found = {}
    for place in folder.glob("seed*"):
        name = re.fullmatch(r"seed(\d+)", place.name)
        if name and (place / "truth" / "joint.json").exists():
            found[int(name[1])] = place
    return [found[seed] for seed in sorted(found) if (seed in seeds if seeds else seed < FIRST_TUNING_SEED)]


def collect(measures: Sequence[Mapping[str, Any]], about: str = "") -> dict[str, Any]:
    """One setting: measures of every seed, as arrays over the seeds with nothing where a seed has no number."""
    first = measures[0]["description"]
    names = sorted({name for one in measures for name in one["methods"]})
    machines = [one["description"]["machine"] for one in measures]
    return {
        "setting": first["name"],
        "about": about,
        "machines": [one for i, one in enumerate(machines) if one not in machines[:i]],
        "seeds": [one["description"]["seed"] for one in measures],
        "tasks": first["tasks"],
        "repeats": first["repeats"],
        "sizes": first["sizes"],
        "facts": first["facts"],
        "similarity": beside([one["similarity"].get("summary", {}) for one in measures]),
        "floor": beside([one["floor"] for one in measures]),
        "grid": beside([one["grid"] for one in measures]),
        "failures": beside([one["failures"] for one in measures]),
        "methods": {name: collected([one["methods"].get(name) for one in measures]) for name in names},
    }


def collected(seeds: Sequence[Mapping[str, Any] | None]) -> dict[str, Any]:
    """One method."""
    first = next(one for one in seeds if one)
    measures = [one["measures"] if one else {} for one in seeds]
    wanted = None if first["factors"].get("study") in (None, JOINT_RUNS) else OF_STUDIES
    said = pooled([starting(one, UNCERTAINTY) for one in measures if starting(one, UNCERTAINTY)])
    found = {
        **{name: first[name] for name in ("kind", "factors", "runs")},
        "measures": beside([without(one, UNCERTAINTY, wanted) for one in measures]),
        "facts": beside([some(one["facts"], FACTS) if one else {} for one in seeds]),
        "uncertainty": said,
    }
    failed = [one.get("failed") if one else None for one in seeds]
    return {**found, **({"failed": failed} if any(failed) else {})}


def some(facts: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those with these names that are there."""
    return {name: facts[name] for name in names if name in facts}


def starting(numbers: Mapping[str, Any], before: str) -> dict[str, Any]:
    """Those whose names start so, without that.

    >>> starting({"a: b": 1.0, "c": 2.0}, "a: ")
    {'b': 1.0}
    """
    return {name.removeprefix(before): value for name, value in numbers.items() if name.startswith(before)}


def without(numbers: Mapping[str, Any], before: str, wanted: Sequence[str] | None) -> dict[str, Any]:
    """The others, or some of them.

    >>> without({"a: b": 1.0, "c": 2.0, "d": 3.0}, "a: ", ["d"])
    {'d': 3.0}
    """
    return {
        name: value
        for name, value in numbers.items()
        if not name.startswith(before) and (wanted is None or name in wanted)
    }


def beside(seeds: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Key → its values over the seeds."""
    keys = list(dict.fromkeys(key for one in seeds for key in one))
    return {key: [one.get(key) for one in seeds] for key in keys}
