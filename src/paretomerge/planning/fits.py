"""What fitting posteriors takes: gradient passes counted as the ledger counts them, work, and bytes held and stored.

With `f` the forward pass of an example, `g` its forward and backward pass, `C` outputs, `D` directions of which each
covers one of `G` groups, `n` examples per task:

    diagonal   n · g, and a square of every parameter's gradient per example
    kronecker  twice that (once uncorrected), two moments per layer, and eigenvectors of both
    subspace   forward   n · D · f · (G + 3) / 2G     a direction costs what comes after its group, and twice its group
               reverse   n · C · g                    one backward pass per output, and every layer's gradient
               whichever `curvature.tangents` takes, and a gradient per centre
    low rank   products of `g + 3 f` until Lanczos has converged
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitKronecker, FitLowRank, FitSubspace
from paretomerge.planning.sizes import ModelSize
from paretomerge.planning.tracing import Passes
from paretomerge.planning.work import Work

FLOAT = 4
"""Bytes of a number while it is measured."""

DIRECTIONS_PER_PASS = 16
"""As `curvature.tangents` takes them."""

SCRATCH = 4 * 2**20
"""Numbers of examples' gradients that are held at once, as `curvature.layers.squares` does."""

SQUARES = 4.0
"""Bytes per parameter and example that squared gradients move."""

EIGENVECTORS = 20.0
"""Operations of a symmetric eigendecomposition in float64 per `n³`, in units of float32 products."""

DOUBLE = 2.0
"""Operations in float64, in units of those in float32."""


@dataclass(frozen=True)
class FitDemand:
    """What a fit takes.

    Args:
        gradient_passes: as the ledger counts them.
        evaluations: of the average and of every centre's merge, where merges are validated and none leads astray.
        work: of all of it.
        held: bytes of posteriors and of what is measured on the way, beside base and finetunes.
        stored: bytes of all tasks' posteriors on the disk.
        exact: whether the passes are known; those of an iteration that must converge are not.
    """

    gradient_passes: int
    evaluations: int
    work: Work
    held: float
    stored: float
    exact: bool = True


def fit_demand(
    method: Any,
    size: ModelSize,
    passes: Passes | None,
    tasks: int,
    groups: int,
    examples: float,
    validation: float = 0.0,
) -> FitDemand:
    """What fitting all tasks takes.

    Args:
        method: family and settings; what is no fit of a known family (a posterior that is given) takes nothing.
        size: of the model.
        passes: of one example; unknown where no example can be seen, and then only memory is told.
        tasks: `T`.
        groups: `G` of a subspace.
        examples: `n`, per task.
        validation: examples per task on which merges are validated.
    """
    parameters = size.parameters * FLOAT
    if isinstance(method, FitIsotropic) or not isinstance(method, tuple(_DEMANDS)):
        return FitDemand(0, 0, Work(), 0.0, tasks * size.nbytes)
    limit = getattr(method, "examples", None)
    used = examples if limit is None else min(examples, limit)
    blank = Passes(Work(), Work(), 0.0, 1.0, 1.0, 1.0)
    subject = _Subject(method, size, passes or blank, tasks, max(1, groups), used, examples, validation, parameters)
    found: FitDemand = _DEMANDS[type(method)](subject)
    return found


@dataclass(frozen=True)
class _Subject:
    method: Any
    size: ModelSize
    passes: Passes
    tasks: int
    groups: int
    used: float
    examples: float
    validation: float
    parameters: float

    @property
    def points(self) -> int:
        """Where curvature is taken, for families that fit each task by itself."""
        location = getattr(self.method, "location", "finetune")
        return {"segment": 3, "posterior": 1 + getattr(self.method, "samples", 0)}.get(location, 1)

    @property
    def columns(self) -> float:
        """Backward passes per example."""
        return max(1.0, self.passes.outputs - 1) if getattr(self.method, "labels", "true") == "ggn" else 1.0

    @property
    def centred(self) -> Work:
        """Of families that take each task's gradient at the centre too."""
        return self.used * self.passes.gradient if getattr(self.method, "location", "") == "centred" else Work()


def _subspace(subject: _Subject) -> FitDemand:
    method, tasks, groups = subject.method, subject.tasks, subject.groups
    gradients = (
        subject.examples if method.gradient_examples is None else min(subject.examples, method.gradient_examples)
    )
    centred, enriched = method.location == "centred", method.enrich != "none"
    work, count, grown = Work(), 0.0, tasks * groups
    for _ in range(method.centres):
        if centred:
            work += tasks * gradients * subject.passes.gradient
            count += tasks * round(gradients)
        grown += tasks * groups * enriched
        expansion, passes = _expansion(subject, grown)
        work += tasks * subject.used * expansion
        count += tasks * subject.used * passes
        work += Work(traffic=8 * (grown / groups) * subject.parameters)
    validated = 1 + method.centres if method.validated and centred else 0
    work += validated * tasks * subject.validation * subject.passes.forward
    directions = (grown / groups + 1) * subject.parameters  # and the origin
    # On the way: every task's gradient and its square, and the directions once more, stacked.
    held = 2 * directions + 2 * tasks * centred * subject.parameters
    return FitDemand(round(count), validated, work, held, tasks * directions)


def _expansion(subject: _Subject, directions: float) -> tuple[Work, float]:
    """Of one example: the work, and derivatives as the ledger counts them."""
    passes, groups, outputs = subject.passes, subject.groups, max(1.0, subject.passes.outputs)
    forward, per_group = passes.forward, directions / groups
    product = Work(2 * directions**2 * outputs, 6 * FLOAT * directions * outputs)
    if 2 * outputs <= directions:
        backward = passes.gradient + -1 * forward
        return 2 * forward + outputs * (backward + _along(subject, per_group)) + product, outputs
    runs = groups * math.ceil(per_group / DIRECTIONS_PER_PASS)
    tangents = Work(forward.flops, forward.traffic) * (directions * (groups + 3) / (2 * groups))
    stacked = Work(traffic=2 * per_group * subject.parameters / passes.batch)
    return (1 + runs) * forward + tangents + stacked + product, directions


def _along(subject: _Subject, per_group: float) -> Work:
    """One example's gradient, made layer by layer, along every direction: read again for every few examples."""
    forward, numbers = subject.passes.forward, subject.size.parameters
    held = sum(o * i * max(1 / subject.passes.batch, o * i / SCRATCH) for o, i in subject.size.matrices)
    return Work(
        forward.flops + 2 * numbers * per_group,
        2 * FLOAT * numbers + FLOAT * per_group * held,
        2 * forward.operations,
    )


def _diagonal(subject: _Subject) -> FitDemand:
    count = subject.tasks * subject.used * subject.points * subject.columns
    squares = Work(traffic=SQUARES * subject.size.parameters)
    work = count * (subject.passes.gradient + squares) + subject.tasks * subject.centred
    held = 2 * subject.tasks * subject.parameters
    return FitDemand(round(count), 0, work, held + 2 * subject.parameters, held)


def _kronecker(subject: _Subject) -> FitDemand:
    method, matrices = subject.method, subject.size.matrices
    sweeps = 2 if method.corrected else 1
    count = subject.tasks * subject.used * subject.points * subject.columns
    weights = sum(o * i for o, i in matrices)
    rows = subject.passes.forward.flops / max(1, 2 * weights)
    moments = Work(2 * rows * sum(o * o + i * i for o, i in matrices))
    projected = (
        Work(2 * rows * sum(o * o + i * i + o * i for o, i in matrices), SQUARES * weights)
        if method.corrected
        else Work()
    )
    factors = sum(o**3 + i**3 for o, i in matrices)
    bases = subject.tasks * EIGENVECTORS * factors
    if method.common_bases:
        rotated = sum(o * o * i + o * i * i for o, i in matrices)
        bases += EIGENVECTORS * factors + subject.tasks * DOUBLE * (4 * factors + 2 * rotated)
    work = (
        count * (sweeps * subject.passes.gradient + moments + projected) + Work(bases) + subject.tasks * subject.centred
    )
    own = FLOAT * sum(o * o + i * i for o, i in matrices)
    held = subject.tasks * (2 * subject.parameters + own)
    return FitDemand(round(count * sweeps), 0, work, held + 2 * own, held)


def _low_rank(subject: _Subject) -> FitDemand:
    """Lanczos keeps `2 R + 20` vectors, and restarts about twice."""
    products = 2 * (2 * subject.method.rank + 20)
    diagonal = 0.0 if subject.method.diagonal == "none" else subject.columns
    n = subject.tasks * subject.used * subject.points
    work = n * (products * (subject.passes.gradient + 3 * subject.passes.forward) + diagonal * subject.passes.gradient)
    held = subject.tasks * (2 + subject.method.rank) * subject.parameters
    lanczos = (2 * subject.method.rank + 20) * subject.parameters
    return FitDemand(round(n * (products + diagonal)), 0, work, held + lanczos, held, exact=False)


def _dense(subject: _Subject) -> FitDemand:
    outputs = max(1.0, subject.passes.outputs)
    count = subject.tasks * subject.used * outputs
    return FitDemand(
        round(count), 0, count * subject.passes.gradient, 2 * subject.tasks * subject.parameters, 0.0, exact=False
    )


_DEMANDS: dict[type, Any] = {
    FitSubspace: _subspace,
    FitDiagonal: _diagonal,
    FitKronecker: _kronecker,
    FitLowRank: _low_rank,
    FitDense: _dense,
}
