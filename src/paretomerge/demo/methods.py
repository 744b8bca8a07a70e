"""The methods the demo compares, with their settings; fixed before any test number is seen.

Subspaces take their own damping. Where a method lists several strengths, one is chosen on the validation split.
"""

from __future__ import annotations

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitKronecker, FitLowRank, FitSubspace
from paretomerge.curvature.methods import Enrichment
from paretomerge.curvature.methods.locations import Location
from paretomerge.merging import Averaging, TaskArithmetic
from paretomerge.posteriors import Grouping
from paretomerge.stages import PreviewMethod

EXAMPLES = 200
DAMPING = (0.1,)

HEADLINE = "subspace, layers, enriched, two centres"
"""The default family and setting, whose preview error is quoted; chosen on other seeds (see the diary)."""


def _subspace(
    groups: Grouping, location: Location = "centred", enrich: Enrichment = "none", centres: int = 1
) -> FitSubspace:
    """With as many centres as the name of the row says, whatever validation data say."""
    return FitSubspace(groups, location, enrich, centres, validated=False, examples=EXAMPLES)


def demo_methods() -> tuple[PreviewMethod, ...]:
    """Every row of the demo's table."""
    enriched = _subspace("layer", enrich="scaled_gradient")
    return (
        PreviewMethod("averaging", FitIsotropic(), Averaging()),
        PreviewMethod("task arithmetic", FitIsotropic(), TaskArithmetic(), (0.7, 1.0, 1.3, 1.6, 2.0)),
        PreviewMethod(
            "diagonal, true Fisher, at finetunes", FitDiagonal(examples=EXAMPLES), strengths=(1e-3, 1e-2, 1e-1)
        ),
        PreviewMethod("EKFAC, at finetunes", FitKronecker(examples=EXAMPLES), strengths=(1e-3, 1e-2, 1e-1)),
        PreviewMethod("low rank, at finetunes", FitLowRank(examples=EXAMPLES), strengths=(1e-3, 1e-2, 1e-1)),
        PreviewMethod(
            "dense on the head, at finetunes", FitDense(r"^head\.", examples=EXAMPLES), strengths=(1e-3, 1e-2, 1e-1)
        ),
        PreviewMethod("subspace, layers, at finetunes", _subspace("layer", "finetune"), strengths=DAMPING),
        PreviewMethod("subspace, model, centred", _subspace("model"), strengths=DAMPING),
        PreviewMethod("subspace, layers, centred", _subspace("layer"), strengths=DAMPING),
        PreviewMethod("subspace, tensors, centred twice", _subspace("tensor", centres=2), strengths=DAMPING),
        PreviewMethod("subspace, layers, enriched", enriched, strengths=DAMPING),
        PreviewMethod(HEADLINE, FitSubspace(examples=EXAMPLES), strengths=DAMPING),
        PreviewMethod(
            "subspace, layers, enriched, recentred per weighting", enriched, strengths=DAMPING, recentre_steps=1
        ),
    )
