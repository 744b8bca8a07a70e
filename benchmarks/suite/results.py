"""The committed results of settings: one array over seeds per method and measure, read back for tables and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[1] / "results" / "suite"
ORDER = (
    "digits-conflict",
    "sentiment",
    "images",
    "images-cnn",
    "sentiment-four",
    "heterogeneous",
    "language-model",
    "dual-encoder",
    "conflicting",
    "adversarial",
    "imbalanced",
    "many-tasks",
    "scale",
)
"""Of settings in tables; variants (`imbalanced-50`) follow their setting, anything else comes last."""
MAIN = ("digits-conflict", "sentiment", "images")
"""Those that the default is developed for."""
AVERAGING, DEFAULT = "averaging", "default"
JOINT_RUNS = "anchored"
"""The study of previews that continue from a joint run."""
DIGITS = 4
"""Significant ones that are committed."""


@dataclass(frozen=True)
class Result:
    """One setting over its seeds.

    Args:
        stored: as `publish` wrote it.
    """

    stored: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the setting."""
        return self.stored["setting"]

    @property
    def seeds(self) -> list[int]:
        """Those with numbers."""
        return self.stored["seeds"]

    @property
    def methods(self) -> Mapping[str, Any]:
        """Name → kind, factors, runs, facts, measures."""
        return self.stored["methods"]

    @property
    def has_floor(self) -> bool:
        """Whether joint grids were repeated."""
        return bool(self.stored["floor"])

    def has(self, method: str, *measures: str) -> bool:
        """Whether a method has numbers of all these measures, for a seed at least."""
        known = self.methods.get(method, {}).get("measures", {})
        return method in self.methods and all(measure in known for measure in measures)

    def values(self, method: str, measure: str) -> np.ndarray:
        """`[seeds]`, NaN where a seed has none."""
        return numbers(self.methods[method]["measures"].get(measure, [None] * len(self.seeds)))

    def floor(self, measure: str = "loss_error") -> np.ndarray:
        """`[seeds]` of the joint grids with other seeds."""
        return numbers(self.stored["floor"].get(measure, [None] * len(self.seeds)))

    def grid(self, measure: str) -> np.ndarray:
        """`[seeds]` of what the grid of joint finetunes costs."""
        return numbers(self.stored["grid"][measure])

    def pair(self, method: str, measure: str, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A method's numbers and other ones, on the seeds that have both."""
        ours = self.values(method, measure)
        both = np.isfinite(ours) & np.isfinite(other)
        return ours[both], other[both]

    def mean(self, method: str, measure: str) -> float | None:
        """Over the seeds that have it."""
        values = self.values(method, measure)
        return float(np.nanmean(values)) if np.isfinite(values).any() else None

    def factor(self, method: str, name: str) -> Any:
        """One of a method's factors."""
        return self.methods[method]["factors"].get(name)

    def of_kind(self, kind: str) -> list[str]:
        """Previews or fronts with numbers."""
        return [name for name, one in self.methods.items() if one["kind"] == kind and one["measures"]]


Results = Mapping[str, Result]
"""Setting's name → its result, in the order of tables."""


def numbers(values: Sequence[float | None]) -> np.ndarray:
    """Numbers that may be missing."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def read_results(folder: Path = FOLDER) -> dict[str, Result]:
    """All settings that are committed."""
    found = [Result(json.loads(file.read_text())) for file in folder.glob("*.json")]
    settings = [one for one in found if "setting" in one.stored]
    return {one.name: one for one in sorted(settings, key=lambda one: place_of(one.name))}


def place_of(name: str) -> tuple[int, str, int]:
    """Where a setting stands; the number at the end of a variant counts as one.

    >>> sorted(["many-tasks-16", "sentiment", "many-tasks-8"], key=place_of)
    ['sentiment', 'many-tasks-8', 'many-tasks-16']
    """
    stem, _, ending = name.rpartition("-")
    number = int(ending) if ending.isdigit() else 0
    known = [i for i, start in enumerate(ORDER) if name == start or name.startswith(f"{start}-")]
    exact = [i for i in known if ORDER[i] == name]
    return ((exact or known or [len(ORDER)])[-1], stem if number else name, number)


def rounded(value: Any) -> Any:
    """Numbers with as many digits as are committed, wherever they are."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 10**12:
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return value


def compact(value: Any, indent: str = "") -> str:
    """JSON with a line for every array: dictionaries are spread out, lists are not."""
    if not isinstance(value, Mapping) or not value:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    lines = [
        f"{indent} {json.dumps(str(key), ensure_ascii=False)}: {compact(one, indent + ' ')}"
        for key, one in value.items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
