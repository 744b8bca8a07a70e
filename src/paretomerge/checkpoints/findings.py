"""What the pre-flight check reports: findings, statistics of each task vector, and their cosines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from paretomerge.errors import AlignmentError

Severity = Literal["error", "warning"]
Kind = Literal["missing", "extra", "renamed", "shape", "dtype", "tied", "not_finite", "identical", "unrelated", "empty"]

SHOWN_PER_KIND = 12


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit. `task` is `None` for the base, `tensor` is `None` for the whole model."""

    severity: Severity
    kind: Kind
    task: str | None
    tensor: str | None
    message: str

    def __str__(self) -> str:
        """One line of a report."""
        return f"{self.severity}: {self.task or 'base'}: {self.message}"


@dataclass(frozen=True)
class TaskStatistics:
    """Size of one task vector `θ_t − θ_0`, over the tensors that can be compared.

    Args:
        task: the finetune.
        tensors: how many floating-point tensors were compared.
        parameters: how many elements they have.
        norm: `‖θ_t − θ_0‖` over all of them; `None` if values were not read.
        relative_distance: `‖θ_t − θ_0‖ / ‖θ_0‖` over those with at least two dimensions; `None` if values
            were not read, or the base is zero there.
    """

    task: str
    tensors: int
    parameters: int
    norm: float | None = None
    relative_distance: float | None = None


@dataclass(frozen=True)
class PairCosine:
    """Cosine of the angle between the task vectors of two finetunes; `None` if one of them is zero."""

    tasks: tuple[str, str]
    cosine: float | None


@dataclass(frozen=True)
class Alignment:
    """The outcome of `align`: what does not fit, and how far the finetunes went."""

    findings: tuple[Finding, ...]
    tasks: tuple[TaskStatistics, ...]
    cosines: tuple[PairCosine, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid a merge."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings worth a look."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether the models can be merged."""
        return not self.errors

    def raise_if_bad(self) -> Alignment:
        """Return itself, or raise `AlignmentError` that lists every error at once."""
        if self.ok:
            return self
        lines: list[str] = []
        groups: dict[tuple[str | None, str], list[Finding]] = {}
        for finding in self.errors:
            groups.setdefault((finding.task, finding.kind), []).append(finding)
        for (task, kind), group in groups.items():
            lines += [f"  {task or 'base'}: {finding.message}" for finding in group[:SHOWN_PER_KIND]]
            if len(group) > SHOWN_PER_KIND:
                names = ", ".join(str(finding.tensor) for finding in group[SHOWN_PER_KIND:])
                lines.append(f"  {task or 'base'}: and {len(group) - SHOWN_PER_KIND} more ({kind}): {names}")
        count = len(self.errors)
        raise AlignmentError(
            f"base and finetunes do not fit each other, {count} problem{'s' if count > 1 else ''}:\n" + "\n".join(lines)
        )

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"ok": self.ok} | asdict(self)
