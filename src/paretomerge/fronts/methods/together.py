"""Surrogates of single objectives, each fitted to its own scores, as one surrogate of all of them.

Methods that do not measure every model on every objective need this.

Shapes: `K` points, `D` coordinates, `M` objectives, `N` models scored on all objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.surrogates import Fitted
from paretomerge.types import Domain, Objective, Scores


@dataclass(frozen=True, eq=False)
class FittedTogether:
    """Implements `surrogates.Fitted` by asking each part.

    Args:
        parts: fitted surrogates over the same domain, of different objectives.
        scores: of the models that were scored on all objectives, in the order of the parts.

    Raises:
        DataError: no parts, parts over different domains, or scores of other objectives.
    """

    parts: tuple[Fitted, ...]
    scores: Scores

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        if not self.parts or any(part.domain != self.parts[0].domain for part in self.parts):
            raise DataError("surrogates of single objectives are put together when there are some, over one domain")
        if self.scores.objectives != self.objectives or self.scores.tasks != self.tasks:
            raise DataError("the scores of surrogates that are put together are of other objectives or coordinates")

    @property
    def domain(self) -> Domain:
        """Where it predicts."""
        return self.parts[0].domain

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the domain's coordinates."""
        return self.parts[0].tasks

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """Those of the parts, one after the other."""
        return tuple(objective for part in self.parts for objective in part.objectives)

    @property
    def fit_quality(self) -> np.ndarray:
        """Leave-one-out R² `[M]`, over each part's own scores."""
        return np.concatenate([part.fit_quality for part in self.parts])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything the parts warn of, once."""
        return tuple(dict.fromkeys(warning for part in self.parts for warning in part.warnings))

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation `[K, M]`."""
        pairs = [part.predict(points) for part in self.parts]
        return np.concatenate([mean for mean, _ in pairs], axis=1), np.concatenate([sd for _, sd in pairs], axis=1)

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        """`[S, K, M]`, joint over points."""
        return np.concatenate([part.sample(points, draws, generator) for part in self.parts], axis=2)

    def response(self, points: Any) -> np.ndarray:
        """`[M, K, N]` with respect to the models scored on all objectives; others that a part knows are held fixed."""
        return np.concatenate([_to_rows_of(part.response(points), part.scores, self.scores) for part in self.parts])

    def extrapolates(self, points: Any) -> np.ndarray:
        """`[K]`: whether any part extrapolates."""
        return np.any([part.extrapolates(points) for part in self.parts], axis=0)

    def quadratics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The parts' quadratic forms `(A [M, D, D], b [M, D], e [M])`, or `None` if a part has none."""
        found: list[Any] = [quadratics() for quadratics in self._forms()]
        if len(found) < len(self.parts) or any(form is None for form in found):
            return None
        A, b, e = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        return A, b, e

    def _forms(self) -> Sequence[Any]:
        forms: list[Any] = [getattr(part, "quadratics", None) for part in self.parts]
        return [form for form in forms if form is not None]


def _to_rows_of(response: np.ndarray, own: Scores, common: Scores) -> np.ndarray:
    """The columns of `response` that belong to the rows of `common`; zero where a part does not know a row."""
    columns = {row.tobytes(): n for n, row in enumerate(own.weights)}
    result = np.zeros((*response.shape[:2], len(common)))
    for n, row in enumerate(common.weights):
        if row.tobytes() in columns:
            result[:, :, n] = response[:, :, columns[row.tobytes()]]
    return result
