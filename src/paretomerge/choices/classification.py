"""From a point of the front: improve this, keep that, and let something fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from paretomerge.choices.achievement import AUGMENTATION, achievement, require_augmentation
from paretomerge.choices.choice import Choice, choice_of
from paretomerge.choices.criterion import eligible, preferred
from paretomerge.choices.draws import probability_fulfilled, score_draws
from paretomerge.choices.infeasible import infeasible
from paretomerge.choices.wishes import checked_wishes, objective_names, require_objectives
from paretomerge.errors import DataError, InfeasibleError
from paretomerge.fronts import FrontUncertainty, minimised_values
from paretomerge.types import Front, Objective, to_minimised


@dataclass(frozen=True)
class Classification:
    """The point that a classification of the objectives leads to, seen from the current point `c` (NIMBUS).

        minimise    max( (f_i - best_i) / r_i  for i in improve,  (f_j - goal_j) / r_j  for j in improve_to )
                    + augmentation · Σ_m f_m / r_m
        subject to  f_i <= f_i(c)       for i in improve, improve_to and keep
                    f_i <= relax_to_i   for i in relax_to
                    f_i <  f_i(c)       for at least one i in improve or improve_to

    over the points of the front, everything minimised, `r` the range of each objective over the front (Miettinen &
    Mäkelä, 1995, Interactive bundle-based method for nondifferentiable multiobjective optimization: NIMBUS; 2006,
    Synchronous approach in interactive multiobjective optimization). The last line is what makes a front of finitely
    many points answer with another point than the current one, or not at all.

    Args:
        current: the number of the current point.
        improve: objectives to improve as much as possible.
        improve_to: objective → value, in its own unit and direction, better than now: to improve as far as that.
        keep: objectives that must not get worse.
        relax_to: objective → value, not better than now: how far it may get worse.
        free: objectives that may change in any way. Those that are not named are free, too.
        augmentation: `>= 0`, small, as in `ReferencePoint`.
    """

    current: int
    improve: Sequence[str] = ()
    improve_to: Mapping[str, float] = field(default_factory=dict, hash=False)
    keep: Sequence[str] = ()
    relax_to: Mapping[str, float] = field(default_factory=dict, hash=False)
    free: Sequence[str] = ()
    augmentation: float = AUGMENTATION

    def __post_init__(self) -> None:
        """Check and copy, so that the rule cannot change."""
        if isinstance(self.current, bool) or not isinstance(self.current, int):
            raise DataError(f"current is {self.current!r}, expected the number of a point of the front")
        for name in ("improve", "keep", "free"):
            object.__setattr__(self, name, _checked_names(getattr(self, name), name))
        for name in ("improve_to", "relax_to"):
            object.__setattr__(self, name, checked_wishes(getattr(self, name), name, at_least=0))
        require_augmentation(self.augmentation)
        if not (self.improve or self.improve_to):
            raise DataError("nothing to improve: name at least one objective in improve or improve_to")
        seen: dict[str, str] = {}
        for kind in ("improve", "improve_to", "keep", "relax_to", "free"):
            for name in getattr(self, kind):
                if name in seen:
                    raise DataError(
                        f"{name!r} is named twice, in {seen[name]} and {kind}: one class for each objective"
                    )
                seen[name] = kind

    def choose(self, front: Front, uncertainty: FrontUncertainty | None = None) -> Choice:
        """The best feasible point other than the current one.

        Raises:
            DataError: a point or an objective that the front does not have, a goal that is reached already, or a bound
                that is better than the current value.
            InfeasibleError: nothing but the current point is feasible; says which one comes closest and what to relax.
        """
        feasible = eligible(self, front)
        if not feasible.any():
            raise self._infeasible(front)
        point = preferred(front, self.criterion(front, minimised_values(front)), feasible)
        holds = probability_fulfilled(self, front, point, score_draws(front, uncertainty))
        return choice_of(front, point, self.wish(front), uncertainty, holds)

    def wish(self, front: Front) -> str:
        """What it looks for, in words."""
        self._require_fits(front)
        known = {objective.name: objective for objective in front.objectives}
        words = [f"improve {name}" for name in self.improve]
        words += [f"improve {_to(known[name], value)}" for name, value in self.improve_to.items()]
        words += [f"keep {name}" for name in self.keep]
        words += [f"relax {_to(known[name], value)}" for name, value in self.relax_to.items()]
        return f"from point {self.current}: {', '.join(words)}"

    def criterion(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`, the achievement function of the objectives to improve."""
        self._require_fits(front)
        best = minimised_values(front).min(axis=0)
        wished = to_minimised(self._by_objective(front, self.improve_to), front.objectives)
        goal = np.where(self._named(front, self.improve), best, wished)
        return achievement(front, values, goal, self.augmentation)

    def feasible(self, front: Front, values: np.ndarray) -> np.ndarray:
        """`[..., K]`: whether a point keeps all bounds and improves something, compared with the current point."""
        self._require_fits(front)
        now = values[..., [self.current], :]
        improved = self._named(front, [*self.improve, *self.improve_to])
        held = self._named(front, [*self.improve, *self.improve_to, *self.keep])
        bounds = to_minimised(self._by_objective(front, self.relax_to), front.objectives)
        broken = (held & (values > now)) | (values > bounds)
        return np.logical_not(broken.any(axis=-1)) & (improved & (values < now)).any(axis=-1)

    def _infeasible(self, front: Front) -> InfeasibleError:
        values, improved = minimised_values(front), [*self.improve, *self.improve_to]
        better = (self._named(front, improved) & (values < values[self.current])).any(axis=1)
        if not better.any():
            return InfeasibleError(
                f"point {self.current} is the best of the front on {' and '.join(improved)} already: nothing improves "
                "it. Improve another objective, or start from another point",
                closest=front[self.current],
            )
        now = front[self.current].values
        limits = {name: now[name] for name in (*improved, *self.keep)} | dict(self.relax_to)
        return infeasible(front, limits, f"no other point fulfils: {self.wish(front)}", better)

    def _require_fits(self, front: Front) -> None:
        if not 0 <= self.current < len(front):
            raise DataError(f"the current point is number {self.current}, the front has points 0 to {len(front) - 1}")
        require_objectives([*self.improve, *self.improve_to, *self.keep, *self.relax_to, *self.free], front.objectives)
        now = front[self.current].values
        for objective in front.objectives:
            name = objective.name
            if name in self.improve_to and objective.sign * (self.improve_to[name] - now[name]) >= 0:
                raise DataError(
                    f"improve_to: {name!r} is {now[name]:.6g} at point {self.current}, no worse than "
                    f"{self.improve_to[name]:.6g} already: keep it, or let it get worse with relax_to"
                )
            if name in self.relax_to and objective.sign * (self.relax_to[name] - now[name]) < 0:
                raise DataError(
                    f"relax_to: {name!r} is {now[name]:.6g} at point {self.current}, worse than "
                    f"{self.relax_to[name]:.6g}: to get there, say improve_to"
                )

    def _named(self, front: Front, names: Sequence[str]) -> np.ndarray:
        """`[M]`: which objectives are among `names`."""
        return np.array([name in names for name in objective_names(front)])

    def _by_objective(self, front: Front, wishes: Mapping[str, float]) -> np.ndarray:
        """`[M]`, in the objectives' own directions; NaN where nothing is wished for."""
        return np.array([wishes.get(name, np.nan) for name in objective_names(front)])


def _checked_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{what} must be a list of objectives' names, got {names!r}: write [{names!r}]")
    return tuple(names)


def _to(objective: Objective, value: float) -> str:
    return f"{objective.name} to {value:.6g}"
