"""Our families: what the package recommends, and one factor changed at a time."""

from __future__ import annotations

from benchmarks.suite.methods.base import Method
from benchmarks.suite.methods.previews import previewed
from paretomerge import FitDiagonal, FitSubspace
from paretomerge.stages import PreviewMethod

DEFAULT = "default"


def posteriors(smoke: bool) -> list[Method]:
    """The default, and the families at their own dampings."""
    return [
        previewed(PreviewMethod(DEFAULT, FitSubspace(), strengths=(FitSubspace().damping,)), groups="layer"),
        previewed(PreviewMethod("diagonal", FitDiagonal(), strengths=(FitDiagonal().damping,))),
    ]


def routes(smoke: bool) -> list[Method]:
    """Family × route × location."""
    return []
