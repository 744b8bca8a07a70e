"""What a diagnosis is: a sign that a preview will fail, the numbers behind it, and the remedy to try."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Signature = Literal["distance", "disagreement", "conflict", "barrier", "power"]
Severity = Literal["note", "warning"]


@dataclass(frozen=True)
class Diagnosis:
    """One sign, found on one run.

    Args:
        signature: which test found it; each has a file of its own.
        severity: a warning says that previews, or choices made with them, are likely to be wrong; a note is worth
            knowing.
        message: what was seen, with numbers.
        remedy: what to try.
        evidence: the numbers, by name; losses in nats.
        tasks: the tasks or the pair of tasks it is about; all where empty.
    """

    signature: Signature
    severity: Severity
    message: str
    remedy: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One paragraph for a terminal.

        >>> print(Diagnosis("power", "note", "30 examples tell little", "score on more"))
        30 examples tell little. Try: score on more
        """
        return f"{self.message}. Try: {self.remedy}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {**asdict(self), "evidence": dict(self.evidence), "tasks": list(self.tasks)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `as_dict`."""
        return cls(**{**stored, "evidence": dict(stored["evidence"]), "tasks": tuple(stored["tasks"])})


def gravest_first(found: Iterable[Diagnosis]) -> tuple[Diagnosis, ...]:
    """Warnings before notes, otherwise in the given order."""
    return tuple(sorted(found, key=lambda diagnosis: diagnosis.severity != "warning"))
