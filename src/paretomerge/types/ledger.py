"""What everything cost, in the currencies in which methods are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

from paretomerge.errors import DataError


@dataclass(frozen=True)
class Ledger:
    """Costs of a piece of work; ledgers add.

    What is unknown stays unknown: `joules` is `None` where nothing was metered. A sum of work with and without a meter
    keeps the energy that is known; that it belongs to a part of the work shows in `metered_seconds < seconds`.

    Args:
        trainings: finetuning runs.
        gradient_passes: examples differentiated for curvature and gradients, in units of one example's
            forward-and-backward pass (one Jacobian-vector product counts as one).
        evaluations: models scored, each on every task.
        seconds: wall-clock seconds.
        joules: energy of the machine during `metered_seconds`; `None` when unknown.
        metered_seconds: the part of `seconds` in which the energy was metered; all of it where `joules` is given
            without it.

    Raises:
        DataError: metered seconds without an energy, or a cost that is negative or not finite.

    >>> Ledger(trainings=3) + Ledger(evaluations=15, seconds=2.5, joules=100.0) + Ledger(seconds=1.5)
    Ledger(trainings=3, gradient_passes=0, evaluations=15, seconds=4.0, joules=100.0, metered_seconds=2.5)
    """

    trainings: int = 0
    gradient_passes: int = 0
    evaluations: int = 0
    seconds: float = 0.0
    joules: float | None = None
    metered_seconds: float | None = None

    def __post_init__(self) -> None:
        """Fill in what the energy belongs to, and refuse impossible costs."""
        if self.joules is None and self.metered_seconds:
            raise DataError(f"{self.metered_seconds} metered seconds without joules: give the energy, or neither")
        if self.metered_seconds is None:
            object.__setattr__(self, "metered_seconds", 0.0 if self.joules is None else self.seconds)
        for name in ("trainings", "gradient_passes", "evaluations", "seconds", "joules", "metered_seconds"):
            cost = getattr(self, name)
            if cost is not None and not 0 <= cost < math.inf:
                raise DataError(f"a ledger's {name} must be a finite number of at least 0, got {cost}")

    def __add__(self, other: Ledger) -> Ledger:
        """Entry by entry; of the energy what is known."""
        known = [ledger.joules for ledger in (self, other) if ledger.joules is not None]
        return Ledger(
            self.trainings + other.trainings,
            self.gradient_passes + other.gradient_passes,
            self.evaluations + other.evaluations,
            self.seconds + other.seconds,
            sum(known) if known else None,
            (self.metered_seconds or 0.0) + (other.metered_seconds or 0.0),
        )

    @property
    def is_partly_metered(self) -> bool:
        """Whether `joules` is the energy of a part of the work only.

        >>> Ledger(seconds=2.0, joules=50.0).is_partly_metered
        False
        """
        # The clock of the work and the clock of the meter are read one after the other.
        return self.joules is not None and (self.metered_seconds or 0.0) < 0.99 * self.seconds
