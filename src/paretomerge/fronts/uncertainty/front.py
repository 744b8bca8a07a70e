"""How sure an estimated front is.

Shapes: `S` draws, `B` bootstrap draws, `K` points of the front, `N` scores, `M` objectives.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from paretomerge.fronts.uncertainty.attainment import PERCENTAGES, AttainmentSurface, attainment_surfaces
from paretomerge.fronts.uncertainty.nondominated import probability_nondominated
from paretomerge.fronts.uncertainty.parts import PARTS, quantiles, score_uncertainty
from paretomerge.fronts.uncertainty.volume import Interval, hypervolume_interval
from paretomerge.surrogates import Fitted
from paretomerge.types import Constraint, Front, Objective, Scores, are_feasible


@dataclass(frozen=True, eq=False)
class FrontUncertainty:
    """What is not known about a front, point by point and as a whole.

    Attributes:
        objectives: the `M` objectives that span the front.
        level: of the intervals.
        parts: standard deviations `[K, M]` of each part (see `parts.py`).
        combined: `[K, M]`, of all parts together.
        lower, upper: `[K, M]`, ends of the intervals of the points' scores, in the objectives' own directions and
            within their bounds.
        nondominated: `[K]`, how probable it is that no other point of the front dominates a point.
        feasible: `[K]`, how probable it is that a point respects the constraints; ones without constraints.
        hypervolume: of the points' true scores, up to the front's reference point.
        attainment: surfaces at 5, 50 and 95 %.
        draws: `S`.
        samples: `[S, K, M]`, float32, the joint draws themselves, in the objectives' own directions: what points share
            cancels in their differences. `None` where they were not kept (fronts stored by older versions).
    """

    objectives: tuple[Objective, ...]
    level: float
    parts: Mapping[str, np.ndarray]
    combined: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    nondominated: np.ndarray
    feasible: np.ndarray
    hypervolume: Interval
    attainment: tuple[AttainmentSurface, ...]
    draws: int
    samples: np.ndarray | None = None

    def __len__(self) -> int:
        """`K`."""
        return len(self.combined)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        tables = ("combined", "lower", "upper", "nondominated", "feasible")
        return {
            "objectives": [asdict(objective) for objective in self.objectives],
            "level": self.level,
            "parts": {part: stdev.tolist() for part, stdev in self.parts.items()},
            **{name: getattr(self, name).tolist() for name in tables},
            "hypervolume": self.hypervolume.as_dict(),
            "attainment": [surface.as_dict() for surface in self.attainment],
            "draws": self.draws,
            "samples": None if self.samples is None else _packed(self.samples),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> FrontUncertainty:
        """The inverse of `as_dict`."""
        return cls(
            objectives=tuple(Objective.from_dict(objective) for objective in stored["objectives"]),
            level=stored["level"],
            parts={part: np.array(stdev) for part, stdev in stored["parts"].items()},
            combined=np.array(stored["combined"]),
            lower=np.array(stored["lower"]),
            upper=np.array(stored["upper"]),
            nondominated=np.array(stored["nondominated"]),
            feasible=np.array(stored["feasible"]),
            hypervolume=Interval.from_dict(stored["hypervolume"]),
            attainment=tuple(AttainmentSurface.from_dict(surface) for surface in stored["attainment"]),
            draws=stored["draws"],
            samples=_unpacked(stored["samples"]) if stored.get("samples") else None,
        )


def front_uncertainty(
    surrogate: Fitted | Scores,
    front: Front,
    *,
    constraints: Sequence[Constraint] = (),
    draws: int = 200,
    seed: int = 0,
    level: float = 0.9,
    deviations: np.ndarray | None = None,
    parameters: np.ndarray | None = None,
    parts: Sequence[str] = PARTS,
    percentages: Sequence[float] = PERCENTAGES,
) -> FrontUncertainty:
    """Intervals, probabilities and surfaces of a front, from joint draws of the scores at its points.

    Everything is about the front's own points. That a better point lies where nobody predicted it is not part of it.
    Two things to know: points that were chosen because they look good tend to look better than they are, which a
    posterior only accounts for as far as its prior is right; and under an underdetermined surrogate the draws of
    neighbouring points disagree by more than any smooth landscape does, so that the expected hypervolume is too large
    and the probabilities of being non-dominated too small. Intervals of single points hold in both cases.

    Args:
        surrogate: what predicted the front; or, for a front of measured points, the scores it was taken from.
        front: the front; its objectives are found in the surrogate by name.
        constraints: limits on any of the surrogate's objectives. In a draw in which a point violates one, the point
            does not count: neither for the hypervolume and surfaces nor as dominating or non-dominated.
        draws: `S`.
        seed: of the draws.
        level: of the intervals.
        deviations: `[B, N, M']` of the surrogate's scores and objectives (see `score_uncertainty`).
        parameters: `[K, M]` or `[P, K, M]` for the front's points and objectives (see `score_uncertainty`).
        parts: which parts count; what an interval is for decides (see `score_uncertainty`).
        percentages: of the attainment surfaces.

    Raises:
        DataError: objectives or points that the surrogate does not know, shapes that disagree, a level outside
            (0, 1), or too few draws for it.
    """
    limited = _limited(surrogate, front, constraints)
    size = len(front.objectives)
    found = score_uncertainty(
        surrogate,
        front.weights,
        objectives=(*front.objectives, *limited),
        draws=draws,
        seed=seed,
        deviations=deviations,
        parameters=_padded(parameters, len(limited)),
        parts=parts,
    )
    feasible = are_feasible(found.draws, found.objectives, constraints) if constraints else None
    values = found.draws[..., :size]
    lower, upper = quantiles(values, level)
    return FrontUncertainty(
        objectives=front.objectives,
        level=level,
        parts={part: stdev[:, :size] for part, stdev in found.parts.items()},
        combined=found.combined[:, :size],
        lower=lower,
        upper=upper,
        nondominated=probability_nondominated(values, front.objectives, feasible),
        feasible=np.ones(len(front)) if feasible is None else feasible.mean(axis=0),
        hypervolume=hypervolume_interval(values, front.objectives, front.reference, level, feasible),
        attainment=attainment_surfaces(values, front.objectives, front.reference, percentages, feasible),
        draws=draws,
        samples=values.astype(np.float32),
    )


def _packed(samples: np.ndarray) -> dict[str, Any]:
    """Little-endian float32 as base64: a third of what the numbers would take as text."""
    return {"shape": list(samples.shape), "float32": b64encode(samples.astype("<f4").tobytes()).decode("ascii")}


def _unpacked(stored: Mapping[str, Any]) -> np.ndarray:
    """The inverse of `_packed`."""
    return np.frombuffer(b64decode(stored["float32"]), dtype="<f4").reshape(stored["shape"]).astype(np.float32)


def _limited(surrogate: Fitted | Scores, front: Front, constraints: Sequence[Constraint]) -> tuple[Objective, ...]:
    """The constrained objectives that do not span the front."""
    traded = {objective.name for objective in front.objectives}
    columns = dict.fromkeys(constraint.column(surrogate.objectives) for constraint in constraints)
    found = (surrogate.objectives[column] for column in columns)
    return tuple(objective for objective in found if objective.name not in traded)


def _padded(parameters: np.ndarray | None, more: int) -> np.ndarray | None:
    """Zeros for the objectives that nobody sampled models for."""
    if parameters is None or not more:
        return parameters
    given = np.asarray(parameters, dtype=np.float64)
    return np.concatenate([given, np.zeros((*given.shape[:-1], more))], axis=-1)
