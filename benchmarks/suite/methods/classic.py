"""What practitioners merge with: averaging, task arithmetic, TIES, DARE and Fisher-weighted averaging.

Each has its one setting (a scale, a density) chosen on validation data by the weighted loss, at the same few
weightings.
"""

from __future__ import annotations

from benchmarks.suite.methods.base import Method
from benchmarks.suite.methods.previews import previewed
from paretomerge import Averaging, FitIsotropic
from paretomerge.stages import PreviewMethod


def classic(smoke: bool) -> list[Method]:
    """Without curvature, but for Fisher-weighted averaging."""
    return [previewed(PreviewMethod("averaging", FitIsotropic(), Averaging()), family="isotropic")]
