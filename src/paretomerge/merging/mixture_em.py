"""Expectation-maximisation of a product of mixtures to powers, in log space, from several starts at once.

Maximises, over the parameters `θ` of one group,

    F(θ) = Σ_t α_t τ_t log Σ_k (π_tk N_tk(θ))^(1/τ_t) + (1-a) log p_0(θ)

    E:  r_tk ∝ (π_tk N_tk(θ))^(1/τ_t)                       (a softmax of logarithms)
    M:  θ = argmax Σ_t α_t Σ_k r_tk log N_tk + (1-a) log p_0        (a Gaussian merge with the weights α_t r_tk)

By Jensen's inequality `Σ_k r_tk (log π_tk N_tk - τ_t log r_tk)` is at most task t's term, and equal to it at the `r` of
the E step. The M step raises this bound, so no step lowers `F` when `α >= 0`. That is asserted.

Dempster, Laird & Rubin, 1977, Maximum Likelihood from Incomplete Data via the EM Algorithm; Ueda & Nakano, 1998,
Deterministic Annealing EM Algorithm.

Shapes: `T` tasks, `R` components of a task, `S` components of all tasks, `K` weightings, `V` starts, `N` rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from paretomerge.errors import FailureError
from paretomerge.merging.mixture_components import Components, LogDensities

ROUNDING = 1e-10
"""By how much the objective may fall, relative to the sum of the magnitudes it is made of. Sums of float64 are good to
1e-14 here; a solver that leaves a residual of ε in the M step lowers its bound by ε² at most."""

Measure = Callable[[Tensor, Tensor], LogDensities]
"""`α [N, T]` and `r [N, S]` → log densities at the points merged with the weights `α_t r_tk`."""


@dataclass(frozen=True, eq=False)
class Maximum:
    """The best point found for each of `K` weightings.

    Args:
        shares: responsibilities `r [K, S]`.
        objective: `F [K]` at the merge with these responsibilities.
        start: number of the start it was reached from, `[K]`.
        steps: how many steps it took, `[K]`.
        converged: whether the responsibilities have stopped moving, `[K]`.
    """

    shares: Tensor
    objective: Tensor
    start: Tensor
    steps: Tensor
    converged: Tensor


@dataclass(frozen=True, eq=False)
class Expectation:
    """The E step and the objective.

    Args:
        counts: `R_t`.
        log_weights: `log π [S]`.
        temperatures: `τ [T]`, finite.
    """

    counts: tuple[int, ...]
    log_weights: Tensor
    temperatures: Tensor

    def shares(self, found: LogDensities) -> Tensor:
        """`r [N, S]`."""
        return torch.cat([torch.softmax(scaled, 1) for scaled in self._scaled(found)], 1)

    def objective(self, found: LogDensities, values: Tensor) -> Tensor:
        """`F [N]` at the weightings `α [N, T]`."""
        terms = torch.stack([torch.logsumexp(scaled, 1) for scaled in self._scaled(found)], 1)
        return (values * self.temperatures * terms).sum(1) + prior_weight(values) * found.prior

    def rounding(self, found: LogDensities, values: Tensor, shares: Tensor) -> Tensor:
        """How far `F [N]` may be off: relative to what it is a sum of."""
        components, prior = found.magnitude
        tasks = torch.stack([part.sum(1) for part in (shares * components).split(self.counts, 1)], 1)
        return ROUNDING * (1 + (values * (tasks + self.temperatures)).sum(1) + (prior_weight(values) * prior).abs())

    def _scaled(self, found: LogDensities) -> list[Tensor]:
        logs = (self.log_weights + found.components).split(self.counts, 1)
        return [part / temperature for part, temperature in zip(logs, self.temperatures.tolist(), strict=True)]


def prior_weight(values: Tensor) -> Tensor:
    """`1 - a [N]`, zero on the simplex whatever the rounding, as in the merge."""
    rest = 1 - values.sum(1)
    return torch.where(rest.abs() > 1e-12, rest, 0.0)


def maximise(
    measure: Measure, expectation: Expectation, values: Tensor, starts: Tensor, most_steps: int, tolerance: float
) -> Maximum:
    """Run every start `[V, S]` at every weighting `[K, T]` side by side, and keep the best of each weighting.

    A row stops when no responsibility changes by more than `tolerance`.

    Raises:
        FailureError: the objective fell, which only a defect can cause.
    """
    count, shares = len(starts), starts.repeat(len(values), 1)
    rows = values.to(torch.float64).repeat_interleave(count, 0)
    objective = torch.full((len(rows),), -math.inf, dtype=torch.float64)
    slack, steps = torch.zeros_like(objective), torch.zeros(len(rows), dtype=torch.int64)
    active = torch.arange(len(rows))
    for step in range(1, most_steps + 1):
        found = measure(rows[active], shares[active])
        reached = expectation.objective(found, rows[active])
        allowed = expectation.rounding(found, rows[active], shares[active])
        _require_rise(objective[active], reached, allowed + slack[active], step)
        objective[active], slack[active], steps[active] = reached, allowed, step
        after = expectation.shares(found)
        moving = (after - shares[active]).abs().amax(1) > tolerance
        if step == most_steps or not bool(moving.any()):
            active = active[moving]
            break
        active = active[moving]
        shares[active] = after[moving]
    converged = torch.ones(len(rows), dtype=torch.bool)
    converged[active] = False
    best = _best(objective.view(-1, count), slack.view(-1, count))
    chosen = torch.arange(len(values)) * count + best
    return Maximum(shares[chosen], objective[chosen], best, steps[chosen], converged[chosen])


def _best(objective: Tensor, slack: Tensor) -> Tensor:
    """The first start that is as good as any, rounding aside: ties are not decided by the last digit."""
    good = objective + slack >= objective.amax(1, keepdim=True)
    return good.to(torch.int8).argmax(1)


def _require_rise(before: Tensor, after: Tensor, allowed: Tensor, step: int) -> None:
    fall = before - after
    if bool((fall > allowed).any()) or bool(torch.isnan(after).any()):
        worst = int(torch.nan_to_num(fall - allowed, nan=math.inf).argmax())
        raise FailureError(
            f"the mixture's objective went from {float(before[worst]):.17g} to {float(after[worst]):.17g} in step "
            f"{step} of expectation-maximisation, which never lowers it: {float(fall[worst]):.3g} is more than the "
            f"{float(allowed[worst]):.3g} that rounding explains. This is a defect of paretomerge; please report it "
            "with these numbers and the family of the posteriors"
        )


def starting_shares(
    components: Components, tasks: Sequence[str], most: int, seed: int
) -> tuple[tuple[str, ...], Tensor]:
    """At most `most` starts, by name, and their responsibilities `[V, S]`.

    In this order: the soup; one run for each task, in every combination where all of them fit, else one run for one
    task and the soup for the others; and responsibilities drawn uniformly, each task's by a generator of its own, so
    that the order of the tasks does not matter.
    """
    counts = components.counts
    names, rows = ["soup"], [components.equal]
    if math.prod(counts) <= most - 1:
        for chosen in product(*(range(count) for count in counts)):
            names.append("runs " + ", ".join(map(str, chosen)))
            rows.append(torch.cat([_one_hot(k, count) for k, count in zip(chosen, counts, strict=True)]))
    else:
        for number, (task, count) in enumerate(zip(tasks, counts, strict=True)):
            for k in range(count if count > 1 else 0):
                names.append(f"run {k} of {task}")
                rows.append(torch.where(components.owners == number, 0.0, components.equal))
                rows[-1][sum(counts[:number]) + k] = 1.0
    names, rows = names[:most], rows[:most]
    generators = [_generator(task, seed) for task in tasks]
    for number in range(most - len(rows)):
        names.append(f"drawn {number}")
        rows.append(torch.cat([_drawn(count, g) for count, g in zip(counts, generators, strict=True)]))
    return tuple(names), torch.stack(rows)


def _one_hot(k: int, count: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(k), count).to(torch.float64)


def _drawn(count: int, generator: torch.Generator) -> Tensor:
    """Uniform on the simplex: exponential variables over their sum."""
    found = -torch.rand(count, generator=generator, dtype=torch.float64).clamp_min(1e-300).log()
    return found / found.sum()


def _generator(task: str, seed: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}|{task}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
