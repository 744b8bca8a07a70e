"""Settings of subspace posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from paretomerge.curvature.methods.locations import Location, require_location
from paretomerge.errors import RecipeError
from paretomerge.posteriors import Grouping, grouping_function

Enrichment = Literal["auto", "none", "gradient", "scaled_gradient"]


@dataclass(frozen=True)
class FitSubspace:
    """Full Gaussian over the coefficients of task vectors cut into groups, by Gauss-Newton products.

    Args:
        groups: `"model"`, `"layer"`, `"block"` (queries and keys, values and output, up, down, norms of each layer),
            `"tensor"`, a regular expression whose captured text names the group, or a function of the name.
        location: `"centred"`: every task's loss is expanded once, with its gradient, at the average of the
            finetunes, where merges land; one expansion serves all weightings. `"finetune"`: each task's curvature
            at its own finetune.
        enrich: further directions per group and task: the negative `"gradient"` at the centre, the
            `"scaled_gradient"` (divided by the root of its own second moment, as Adam would), or `"none"`. `"auto"` is
            scaled gradients where centred.
        centres: how many expansions in a row; each further one is made where the merge with equal weights landed
            (and adds its own gradients to an enriched basis). All of them serve every weighting. 0 is two where
            centred, else one.
        validated: whether the merge with equal weights, of a centred fit, must have a lower validation loss than
            what it started from: at the first centre than the average of the finetunes, else `damping` is raised
            tenfold until it has; a further centre is left out where it does not help. An evaluation for each.
        damping: the ridge, relative, on what each task brings to a merge (`posteriors/lending.py`); it is also the
            one under which the next centre is found, where 0.03 to 0.3 serve equally well.
        examples: per task for the curvature, all when `None`.
        gradient_examples: per task for the gradients, all when `None`, at one backward pass each.
    """

    groups: Grouping = "layer"
    location: Location = "centred"
    enrich: Enrichment = "auto"
    centres: int = 0
    validated: bool = True
    damping: float = 1e-1
    examples: int | None = None
    gradient_examples: int | None = None

    family: ClassVar[str] = "subspace"

    def __post_init__(self) -> None:
        """Gradients for enrichment are taken at the centre."""
        grouping_function(self.groups)
        centred = self.location == "centred"
        if self.enrich == "auto":
            object.__setattr__(self, "enrich", "scaled_gradient" if centred else "none")
        if self.centres == 0:
            object.__setattr__(self, "centres", 2 if centred else 1)
        require_location(self.location, ("finetune", "centred"), self.family)
        if self.enrich not in ("none", "gradient", "scaled_gradient"):
            raise RecipeError(f"enrich={self.enrich!r} is unknown: auto, none, gradient or scaled_gradient")
        if self.centres < 1 or (self.centres > 1 and self.location != "centred"):
            raise RecipeError("centres counts centred expansions: at least 1, and more than 1 needs location='centred'")
        if self.enrich != "none" and self.location != "centred":
            raise RecipeError("an enriched basis needs location='centred': its gradients are taken at the centre")
