"""Settings of IVON: of one parameter group, and of a training recipe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from paretomerge.errors import RecipeError


@dataclass(frozen=True)
class IvonSettings:
    """How a recipe runs `Ivon`; the recipe itself gives steps, batch and schedule.

    The defaults are the best of a small search on the demo's digits (200 steps of 32 examples): there, temperature 1
    underfits, because 700 examples leave a posterior too wide for 60 000 parameters.

    Args:
        learning_rate: the peak, on the scale of SGD.
        hess_init: curvature before the first step.
        ess: number of training examples; those of the tasks with positive weight when `None`. The noise of the
            curvature grows with it (see `Ivon.posterior`): give one number for tasks that are to be merged.
        temperature: `T`, of a cold posterior `q^(1/T)`: the noise's variance is multiplied by it, so `Ivon` runs with
            the effective sample size `ess/T`. 1 is the Bayesian posterior.
        beta1: of the gradient.
        beta2: of the curvature, which is averaged over about `1/(1-β2)` steps; `1 - 4/steps` when `None`, which
            forgets all but 2 % of `hess_init`.
        weight_decay: `δ`; the prior has the precision `δ·ess/T`.
        prior: centred at `"start"`, where the training starts, or at `"zero"`.
        clip_radius: entries of the preconditioned gradient are clipped to this size; none when `None`.
        samples: draws of the parameters per step, all on the step's examples; the cost grows in proportion.
    """

    learning_rate: float = 0.5
    hess_init: float = 0.03
    ess: float | None = None
    temperature: float = 0.01
    beta1: float = 0.9
    beta2: float | None = None
    weight_decay: float = 1e-4
    prior: Literal["start", "zero"] = "start"
    clip_radius: float | None = 0.3
    samples: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        if self.samples < 1:
            raise RecipeError(f"samples, the draws per step, must be at least 1, got {self.samples}")
        if self.prior not in ("start", "zero"):
            raise RecipeError(f"prior is 'start' or 'zero', got {self.prior!r}")
        if not 0 < self.temperature < math.inf:
            raise RecipeError(f"temperature must be positive, 1 for the Bayesian posterior, got {self.temperature}")
        require_group({**self.for_run(steps=1, examples=1), "params": []})

    def for_run(self, steps: int, examples: int) -> dict[str, Any]:
        """Settings of `Ivon` for a run of so many steps on so many training examples."""
        return {
            "lr": self.learning_rate,
            "ess": (examples if self.ess is None else self.ess) / self.temperature,
            "hess_init": self.hess_init,
            "betas": (self.beta1, max(0.0, 1 - 4 / steps) if self.beta2 is None else self.beta2),
            "weight_decay": self.weight_decay,
            "clip_radius": self.clip_radius,
        }


def require_group(group: dict[str, Any]) -> None:
    """Raise `RecipeError` for a parameter group that cannot train."""
    if not 0 <= group["lr"] < math.inf:
        raise RecipeError(f"the learning rate must be at least 0, got {group['lr']}")
    if not 0 < group["ess"] < math.inf:
        raise RecipeError(
            f"ess, the effective sample size, must be positive, got {group['ess']}: give the number of training "
            "examples"
        )
    if not 0 < group["hess_init"] < math.inf:
        raise RecipeError(f"hess_init must be positive, got {group['hess_init']}: the first noise is drawn with it")
    if not 0 <= group["weight_decay"] < math.inf:
        raise RecipeError(f"weight_decay must be at least 0, got {group['weight_decay']}")
    if not all(0 <= beta < 1 for beta in group["betas"]):
        raise RecipeError(f"betas must be at least 0 and less than 1, got {group['betas']}")
    if group["clip_radius"] is not None and not group["clip_radius"] > 0:
        raise RecipeError(f"clip_radius must be positive, or absent for no clipping, got {group['clip_radius']}")
    for parameter in group["params"]:
        if not parameter.is_floating_point():
            raise RecipeError(f"IVON trains real floating-point parameters, got {parameter.dtype}")
