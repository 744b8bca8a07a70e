"""Per-example gradients without the cost of per-example passes: from what goes into each layer and comes back."""

from paretomerge.curvature.layers.capture import Recorded, Recorder, recording
from paretomerge.curvature.layers.coverage import Coverage, find_coverage
from paretomerge.curvature.layers.kinds import layers_of
from paretomerge.curvature.layers.lookup import LookupLayer
from paretomerge.curvature.layers.matrix import MatrixLayer, Sharing
from paretomerge.curvature.layers.passes import Labels, Signals, backward_passes
from paretomerge.curvature.layers.scale import ScaleLayer

__all__ = [
    "Coverage",
    "Labels",
    "LookupLayer",
    "MatrixLayer",
    "Recorded",
    "Recorder",
    "ScaleLayer",
    "Sharing",
    "Signals",
    "backward_passes",
    "find_coverage",
    "layers_of",
    "recording",
]
