"""The methods the demo compares, with their settings; fixed before any test number is seen.

Strengths (damping, ridge, scale) are chosen on the validation split from the candidates listed here.
"""

from __future__ import annotations

from paretomerge.curvature import FitDense, FitDiagonal, FitIsotropic, FitSubspace
from paretomerge.merging import Averaging, TaskArithmetic
from paretomerge.stages import PreviewMethod

EXAMPLES = 200
RIDGES = (1e-2, 3e-2, 1e-1, 3e-1, 1.0)

HEADLINE = "subspace, layers, centred twice, enriched"
"""The family and setting whose preview error is quoted; chosen on other seeds (see the diary)."""


def _subspace(groups: str, location: str = "centred", enrich: str = "none", centres: int = 1) -> FitSubspace:
    return FitSubspace(groups, location, enrich, centres, damping=3e-2, examples=EXAMPLES)  # type: ignore[arg-type]


def demo_methods() -> tuple[PreviewMethod, ...]:
    """Every row of the demo's table."""
    enriched = _subspace("layer", enrich="scaled_gradient")
    twice = _subspace("layer", enrich="scaled_gradient", centres=2)
    return (
        PreviewMethod("averaging", FitIsotropic(), Averaging()),
        PreviewMethod("task arithmetic", FitIsotropic(), TaskArithmetic(), (0.7, 1.0, 1.3, 1.6, 2.0)),
        PreviewMethod(
            "diagonal, true Fisher, at finetunes", FitDiagonal(examples=EXAMPLES), strengths=(1e-2, 1e-1, 1.0)
        ),
        PreviewMethod(
            "dense on the head, at finetunes", FitDense(r"^head\.", examples=EXAMPLES), strengths=(1e-3, 1e-2, 1e-1)
        ),
        PreviewMethod("subspace, model, at finetunes", _subspace("model", "finetune"), strengths=RIDGES),
        PreviewMethod("subspace, layers, at finetunes", _subspace("layer", "finetune"), strengths=RIDGES),
        PreviewMethod("subspace, tensors, at finetunes", _subspace("tensor", "finetune"), strengths=RIDGES),
        PreviewMethod("subspace, model, centred", _subspace("model"), strengths=RIDGES),
        PreviewMethod("subspace, layers, centred", _subspace("layer"), strengths=RIDGES),
        PreviewMethod("subspace, tensors, centred", _subspace("tensor"), strengths=RIDGES),
        PreviewMethod("subspace, tensors, centred twice", _subspace("tensor", centres=2), strengths=RIDGES),
        PreviewMethod("subspace, layers, centred, enriched", enriched, strengths=RIDGES),
        PreviewMethod(HEADLINE, twice, strengths=RIDGES),
        PreviewMethod(
            "subspace, layers, enriched, recentred per weighting", enriched, strengths=RIDGES, recentre_steps=1
        ),
    )
