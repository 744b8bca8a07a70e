"""What everything cost, in the four currencies in which methods are compared."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Ledger:
    """Costs of a piece of work; ledgers add.

    Args:
        trainings: finetuning runs.
        gradient_passes: examples differentiated for curvature and gradients, in units of one example's
            forward-and-backward pass (one Jacobian-vector product counts as one).
        evaluations: models scored, each on every task.
        seconds: wall-clock seconds.

    >>> Ledger(trainings=3) + Ledger(evaluations=15, seconds=2.5)
    Ledger(trainings=3, gradient_passes=0, evaluations=15, seconds=2.5)
    """

    trainings: int = 0
    gradient_passes: int = 0
    evaluations: int = 0
    seconds: float = 0.0

    def __add__(self, other: Ledger) -> Ledger:
        """Entry by entry."""
        return Ledger(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))
