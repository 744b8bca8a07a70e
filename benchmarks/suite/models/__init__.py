"""Models that are small enough to be trained hundreds of times on a processor."""

from benchmarks.suite.models.convolutional import SmallCNN
from benchmarks.suite.models.dual_encoder import DualEncoder
from benchmarks.suite.models.vit import ImageViT

__all__ = ["DualEncoder", "ImageViT", "SmallCNN"]
