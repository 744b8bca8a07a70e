"""`ReportData`: everything a report shows, collected by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from paretomerge.errors import DataError
from paretomerge.types import Front, FrontPoint, Ledger, Objective, Scores

CURRENCIES: tuple[str, ...] = tuple(f.name for f in fields(Ledger))


@dataclass(frozen=True, eq=False)
class ReportData:
    """Results ready to be shown; checked on construction.

    Args:
        title: the heading.
        objectives: the objectives of the front, which the figure's axes show; `scores` may hold further ones,
            which the page offers too.
        scores: rows of any origin, in the same units.
        front: the estimated front, over some of the scores' objectives; `None` before there is one.
        choice: the chosen trade-off. Its values may differ from the front's, when it was scored again.
        methods: rows of the comparison table, column name → text, number or `None`. A column
            `"<name> stderr"` is shown as the interval of `<name>`.
        ledger: stage or method → trainings, gradient_passes, evaluations, seconds.
        warnings: sentences that a reader must see.
        notes: further facts, name → text, such as the data split.

    Raises:
        DataError: objectives, tasks or ledger entries that do not fit each other.
    """

    title: str
    objectives: Sequence[Objective]
    scores: Scores
    front: Front | None = None
    choice: FrontPoint | None = None
    methods: Sequence[Mapping[str, Any]] = ()
    ledger: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        set_ = object.__setattr__
        set_(self, "objectives", tuple(self.objectives))
        set_(self, "methods", tuple(dict(row) for row in self.methods))
        set_(self, "ledger", {stage: dict(costs) for stage, costs in self.ledger.items()})
        set_(self, "warnings", tuple(self.warnings))
        set_(self, "notes", dict(self.notes))
        if not self.objectives:
            raise DataError("a report needs at least one objective")
        known = [objective.name for objective in self.scores.objectives]
        if len(set(known)) != len(known):
            raise DataError(f"objective names repeat: {', '.join(known)}. Name them apart, as in 'movie loss'")
        _require_known([objective.name for objective in self.objectives], known, "the report")
        if self.front is not None:
            _require_known([objective.name for objective in self.front.objectives], known, "the front")
            if self.front.tasks != self.scores.tasks:
                raise DataError(
                    f"the front has the tasks {', '.join(self.front.tasks)}, the scores have "
                    f"{', '.join(self.scores.tasks)}: names and order must agree"
                )
        if self.choice is not None:
            _require_known(list(self.choice.values), known, "the choice")
            if set(self.choice.weights) != set(self.scores.tasks):
                raise DataError(
                    f"the choice has weights for {', '.join(self.choice.weights)}, the scores are of "
                    f"{', '.join(self.scores.tasks)}"
                )
        for stage, costs in self.ledger.items():
            unknown = sorted(set(costs) - set(CURRENCIES))
            if unknown:
                raise DataError(
                    f"ledger entry {stage!r} has unknown costs {', '.join(unknown)}: the known ones are "
                    f"{', '.join(CURRENCIES)}"
                )

    @classmethod
    def of_scores(cls, scores: Scores, title: str = "") -> ReportData:
        """Scores alone, without a front."""
        return cls(title=title, objectives=scores.objectives, scores=scores)


def _require_known(names: Sequence[str], known: Sequence[str], whose: str) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{whose} has objectives that the scores lack: {', '.join(missing)}. The scores have {', '.join(known)}"
        )
