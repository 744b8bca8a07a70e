"""What every rule promises: units, directions, and the order of points, objectives and tasks change nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretomerge.choices import (
    ByWeights,
    Classification,
    Knee,
    MinimumRegret,
    OneStandardError,
    ReferencePoint,
    Thresholds,
    choose,
)
from paretomerge.errors import InfeasibleError
from paretomerge.fronts import is_nondominated
from paretomerge.types import Front, Objective


@dataclass(frozen=True)
class Seen:
    """One front as somebody sees it: in what units and directions, and in which order."""

    front: Front
    samples: np.ndarray
    points: np.ndarray
    units: Mapping[str, tuple[float, float]]

    def value(self, objective, value):
        """A minimised value in this one's units."""
        scale, shift = self.units[objective]
        return scale * value + shift

    def row(self, point):
        """The number here of the point that had another number first."""
        return int(np.flatnonzero(self.points == point)[0])


RULES = {
    "by weights": lambda seen: ByWeights({"x": 0.2, "y": 0.3, "z": 0.5}),
    "thresholds": lambda seen: Thresholds({"a": seen.value("a", 0.6)}, best="c"),
    "thresholds, sum": lambda seen: Thresholds({"b": seen.value("b", 0.7)}),
    "reference point": lambda seen: ReferencePoint({"a": seen.value("a", 0.3), "c": seen.value("c", 0.2)}),
    "knee": lambda seen: Knee(),
    "classification": lambda seen: Classification(
        seen.row(0), improve=["a", "b"], relax_to={"c": seen.value("c", 2.0)}
    ),
    "regret": lambda seen: MinimumRegret(),
    "quantile of regret": lambda seen: MinimumRegret(risk=0.8),
    "regret of the knee": lambda seen: MinimumRegret(Knee()),
    "regret under thresholds": lambda seen: MinimumRegret(Thresholds({"a": seen.value("a", 0.6)}, best="c")),
    "one standard error": lambda seen: OneStandardError(Thresholds({"a": seen.value("a", 0.6)}, best="c")),
}


def seen(rng, plain):
    """The same front, plainly or in other units, directions and orders."""
    world = np.random.default_rng(rng.integers(2**32))
    values = world.random((30, 3))
    kept = is_nondominated(values)
    values, weights = values[kept], world.dirichlet(np.ones(3), 30)[kept]
    samples = values + 0.1 * world.standard_normal((40, *values.shape))
    rows, columns, tasks = np.arange(len(values)), np.arange(3), np.arange(3)
    scale, shift = np.ones(3), np.zeros(3)
    if not plain:
        rows, columns, tasks = rng.permutation(rows), rng.permutation(columns), rng.permutation(tasks)
        scale = rng.choice([-1, 1], 3) * 10 ** rng.uniform(-3, 3, 3)
        shift = 5 * rng.standard_normal(3) * abs(scale)
    values, samples = values * scale + shift, samples * scale + shift
    front = Front(
        tuple("xyz"[t] for t in tasks),
        weights[np.ix_(rows, tasks)],
        values[np.ix_(rows, columns)],
        np.zeros((len(rows), 3)),
        tuple(Objective("abc"[m], "minimise" if scale[m] > 0 else "maximise") for m in columns),
        np.zeros(3),
        ("merged",) * len(rows),
    )
    units = {"abc"[m]: (float(scale[m]), float(shift[m])) for m in range(3)}
    return Seen(front, samples[:, rows][..., columns], rows, units)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_units_directions_and_orders_change_nothing(rule, seed, uncertainty_of):
    answers = []
    for plain in (True, False):
        view = seen(np.random.default_rng(seed), plain)
        try:
            choice = choose(view.front, RULES[rule](view), uncertainty_of(view.front, view.samples))
        except InfeasibleError as error:
            answers.append(("infeasible", int(view.points[error.closest.id]), set(error.relax), set(error.alone)))
            continue
        assert choice.point == view.front[choice.point.id]
        lost = {name: lost / abs(view.units[name][0]) for name, lost in choice.gives_up.items()}
        others = [int(view.points[other.point.id]) for other in choice.alternatives]
        answers.append((int(view.points[choice.point.id]), others, {name: round(lost[name], 6) for name in "abc"}))
    assert answers[0] == answers[1]
