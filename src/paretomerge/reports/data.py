"""`ReportData`: everything a report shows, collected by the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from paretomerge.diagnoses import Diagnosis
from paretomerge.errors import DataError
from paretomerge.fronts import FrontUncertainty
from paretomerge.reports.grid import PredictedGrid
from paretomerge.reports.verified import Verified
from paretomerge.types import Front, FrontPoint, Ledger, Objective, Scores

CURRENCIES: tuple[str, ...] = tuple(f.name for f in fields(Ledger))
COUNTED: tuple[str, ...] = ("trainings", "gradient_passes", "evaluations", "seconds")
"""The costs that every table of costs shows; energy is shown where it is known."""


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
        ledger: stage or method → trainings, gradient_passes, evaluations, seconds, and what is known of energy; `None`
            for a cost that is not known.
        warnings: sentences that a reader must see.
        notes: further facts, name → text, such as the data split.
        run: what the command line calls the run, for commands to copy.
        choice_rule: how the choice was made, in words.
        uncertainty: of the front's points.
        joint_front: the front of joint finetuning, as verification has recalibrated it.
        joint_uncertainty: of that front's points.
        verification: previews held against joint finetunings.
        diagnoses: signs that the previews may fail.
        ledger_notes: what the ledger assumes, in sentences.
        landscape: what is predicted all over the simplex of task weights; `None` where nothing is.

    Raises:
        DataError: objectives, tasks or ledger entries that do not fit each other.
    """

    title: str
    objectives: Sequence[Objective]
    scores: Scores
    front: Front | None = None
    choice: FrontPoint | None = None
    methods: Sequence[Mapping[str, Any]] = ()
    ledger: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    choice_rule: str = ""
    uncertainty: FrontUncertainty | None = None
    joint_front: Front | None = None
    joint_uncertainty: FrontUncertainty | None = None
    verification: Verified | None = None
    diagnoses: Sequence[Diagnosis] = ()
    ledger_notes: Sequence[str] = ()
    landscape: PredictedGrid | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        set_ = object.__setattr__
        set_(self, "objectives", tuple(self.objectives))
        set_(self, "methods", tuple(dict(row) for row in self.methods))
        set_(self, "ledger", {stage: dict(costs) for stage, costs in self.ledger.items()})
        for name in ("warnings", "diagnoses", "ledger_notes"):
            set_(self, name, tuple(getattr(self, name)))
        set_(self, "notes", dict(self.notes))
        if not self.objectives:
            raise DataError("a report needs at least one objective")
        known = [objective.name for objective in self.scores.objectives]
        if len(set(known)) != len(known):
            raise DataError(f"objective names repeat: {', '.join(known)}. Name them apart, as in 'movie loss'")
        _require_known([objective.name for objective in self.objectives], known, "the report")
        for front, what in ((self.front, "the front"), (self.joint_front, "the joint front")):
            if front is not None:
                _require_known([objective.name for objective in front.objectives], known, what)
                self._require_tasks(front.tasks, what)
        if self.landscape is not None:
            self._require_tasks(self.landscape.tasks, "the landscape")
        if self.verification is not None:
            self._require_tasks(self.verification.truths.tasks, "the verification")
        _require_same(self.front, self.uncertainty)
        _require_same(self.joint_front, self.joint_uncertainty)
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

    def _require_tasks(self, tasks: tuple[str, ...], what: str) -> None:
        if tasks != self.scores.tasks:
            raise DataError(
                f"{what} has the tasks {', '.join(tasks)}, the scores have {', '.join(self.scores.tasks)}: names and "
                "order must agree"
            )

    @classmethod
    def of_scores(cls, scores: Scores, title: str = "") -> ReportData:
        """Scores alone, without a front."""
        return cls(title=title, objectives=scores.objectives, scores=scores)


def _require_same(front: Front | None, spread: FrontUncertainty | None) -> None:
    if spread is None:
        return
    if front is None or len(spread) != len(front) or spread.objectives != front.objectives:
        raise DataError("the uncertainty is of another front: give that of the report's front, or none")


def _require_known(names: Sequence[str], known: Sequence[str], whose: str) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(
            f"{whose} has objectives that the scores lack: {', '.join(missing)}. The scores have {', '.join(known)}"
        )
