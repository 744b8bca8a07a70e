"""How posteriors are fitted: one frozen dataclass of settings per family, all data-free until `fit` is called.

`damping` (for subspaces: the ridge) is relative to the mean diagonal of the tasks' average curvature, so one
number means the same for every model. It is not part of the curvature: a fit can be damped again at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from paretomerge.curvature.fisher import FisherLabels
from paretomerge.errors import RecipeError
from paretomerge.posteriors import Grouping

Location = Literal["finetune", "segment", "average", "centred"]
Enrichment = Literal["none", "gradient", "scaled_gradient"]


@dataclass(frozen=True)
class FitIsotropic:
    """No data needed: every parameter of every task is equally certain. Merging it is averaging."""

    damping: float = 0.0

    family: ClassVar[str] = "isotropic"


@dataclass(frozen=True)
class FitDiagonal:
    """Diagonal Fisher matrix of each task.

    Args:
        labels: `"true"` (labels sampled from the model) or `"empirical"` (observed labels).
        damping: relative, added to every entry.
        location: `"finetune"`; `"average"`: at the average of the finetunes, where merges land; `"segment"`:
            averaged over three points from the finetune to the average.
        examples: per task, all when `None`.
    """

    labels: FisherLabels = "true"
    damping: float = 1e-1
    location: Location = "finetune"
    examples: int | None = None

    family: ClassVar[str] = "diagonal"

    def __post_init__(self) -> None:
        """A diagonal posterior has a mean, so it has no centred form yet."""
        _require_location(self.location, ("finetune", "segment", "average"), self.family)


@dataclass(frozen=True)
class FitDense:
    """Full Gauss-Newton matrix over the parameters whose name matches `parameters`; the rest is isotropic.

    Args:
        parameters: regular expression searched in parameter names, for example `"^head"`.
        damping: relative, added to the diagonal.
        location: as for `FitDiagonal`.
        examples: per task, all when `None`.
    """

    parameters: str = ".*"
    damping: float = 1e-2
    location: Location = "finetune"
    examples: int | None = None

    family: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        """As for diagonal posteriors."""
        _require_location(self.location, ("finetune", "segment", "average"), self.family)


@dataclass(frozen=True)
class FitSubspace:
    """Full Gaussian over the coefficients of task vectors cut into groups, by Gauss-Newton products.

    Args:
        groups: `"model"`, `"layer"`, `"tensor"`, or a function from parameter name to group.
        location: `"centred"`: every task's loss is expanded once, with its gradient, at the average of the
            finetunes, where merges land; one expansion serves all weightings. `"finetune"`: each task's curvature
            at its own finetune.
        enrich: further directions per group and task: the negative `"gradient"` at the centre, or the
            `"scaled_gradient"` (divided by the root of its own second moment, as Adam would).
        centres: how many expansions in a row; each further one is made where the merge with equal weights landed
            (and adds its own gradients to an enriched basis). All of them serve every weighting.
        damping: the ridge, relative, centred at each task's own finetune.
        examples: per task for the curvature, all when `None`; gradients always take the whole split, which costs
            one backward pass.
    """

    groups: Grouping = "layer"
    location: Location = "centred"
    enrich: Enrichment = "none"
    centres: int = 1
    damping: float = 1e-2
    examples: int | None = None

    family: ClassVar[str] = "subspace"

    def __post_init__(self) -> None:
        """Gradients for enrichment are taken at the centre."""
        _require_location(self.location, ("finetune", "centred"), self.family)
        if self.enrich not in ("none", "gradient", "scaled_gradient"):
            raise RecipeError(f"enrich={self.enrich!r} is unknown: none, gradient or scaled_gradient")
        if self.centres < 1 or (self.centres > 1 and self.location != "centred"):
            raise RecipeError("centres counts centred expansions: at least 1, and more than 1 needs location='centred'")
        if self.enrich != "none" and self.location != "centred":
            raise RecipeError("an enriched basis needs location='centred': its gradients are taken at the centre")


FitMethod = FitIsotropic | FitDiagonal | FitDense | FitSubspace


def _require_location(location: str, known: tuple[str, ...], family: str) -> None:
    if location not in known:
        raise RecipeError(f"location={location!r} is unknown for {family} posteriors: {', '.join(known)}")
