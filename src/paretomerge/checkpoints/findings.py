"""What the pre-flight check reports: findings, statistics of each task vector, and their cosines."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from typing import Literal

from paretomerge.errors import AlignmentError

Severity = Literal["error", "warning"]
Kind = Literal[
    "missing",
    "extra",
    "renamed",
    "shape",
    "vocabulary",
    "dtype",
    "tied",
    "buffer",
    "quantised",
    "not_finite",
    "identical",
    "unrelated",
    "outlier",
    "empty",
    "provenance",
]

SHOWN_PER_KIND = 12


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit, and what to do about it.

    Args:
        severity: an error forbids the merge, a warning is worth a look.
        kind: which test found it.
        task: the finetune; `None` for the base, or for all models together.
        tensor: its name, the first one where several have the same problem; `None` for the whole model.
        message: what was seen, the likely cause, what to do.
        tensors: all names, where several have the same problem.
        repair: the options that repair it, as arguments of the command line, such as `("--skip", "cls.*")`;
            empty where none does.
    """

    severity: Severity
    kind: Kind
    task: str | None
    tensor: str | None
    message: str
    tensors: tuple[str, ...] = ()
    repair: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line of a report."""
        return f"{self.severity}: {self.task or 'base'}: {self.message}"


@dataclass(frozen=True)
class TensorDistance:
    """How far one tensor went: `‖θ_t − θ_0‖ / ‖θ_0‖` and the cosine of the angle between `θ_t` and `θ_0`."""

    tensor: str
    relative_distance: float
    cosine: float


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
        cosine: of the angle between `θ_t` and `θ_0`, over the same tensors: near 1 for a finetune of this base,
            near 0 for another model.
        farthest: the tensors with at least two dimensions that went farthest, farthest first.
    """

    task: str
    tensors: int
    parameters: int
    norm: float | None = None
    relative_distance: float | None = None
    cosine: float | None = None
    farthest: tuple[TensorDistance, ...] = ()


@dataclass(frozen=True)
class PairCosine:
    """Cosine of the angle between the task vectors of two finetunes; `None` if one of them is zero."""

    tasks: tuple[str, str]
    cosine: float | None


@dataclass(frozen=True)
class Alignment:
    """The outcome of `align`: what does not fit, and how far the finetunes went.

    `tied` are pairs of names whose values are equal in every model: one parameter under two names.
    """

    findings: tuple[Finding, ...]
    tasks: tuple[TaskStatistics, ...]
    cosines: tuple[PairCosine, ...] = ()
    tied: tuple[tuple[str, str], ...] = ()

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

    @property
    def repairs(self) -> tuple[tuple[str, str], ...]:
        """The options that repair the errors, each once; a tensor kept per task need not be skipped as well."""
        pairs = [
            (finding.repair[at], finding.repair[at + 1])
            for finding in self.errors
            for at in range(0, len(finding.repair), 2)
        ]
        private = {value for option, value in pairs if option == "--private"}
        needed = [pair for pair in pairs if not (pair[0] == "--skip" and pair[1] in private)]
        return tuple(dict.fromkeys(needed))

    @property
    def advice(self) -> str:
        """`repairs` as they are typed in a shell; empty if there is nothing to type."""
        return " ".join(shlex.join(repair) for repair in self.repairs)

    def raise_if_bad(self) -> Alignment:
        """Return itself, or raise `AlignmentError` that lists every error at once, and what to type."""
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
        if self.advice:
            lines.append(f"add to `paretomerge check` or `paretomerge merge`:  {self.advice}")
        count = len(self.errors)
        raise AlignmentError(
            f"base and finetunes do not fit each other, {count} problem{'s' if count > 1 else ''}:\n" + "\n".join(lines)
        )

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"ok": self.ok} | asdict(self) | {"repairs": self.repairs}
