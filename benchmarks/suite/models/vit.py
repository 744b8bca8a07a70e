"""A vision transformer for 28 × 28 images; attention is written out, as forward-mode differentiation needs it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from paretomerge.demo.vit import Block


class ImageViT(nn.Module):
    """Pre-norm transformer over square patches, mean pooling, one linear head: `[B, size, size] → [B, outputs]`.

    Args:
        width: of the residual stream.
        depth: number of blocks.
        heads: attention heads.
        outputs: classes, or dimensions of an embedding.
        size: of the images.
        patch: side of a patch; divides the size.
    """

    def __init__(
        self, width: int = 64, depth: int = 4, heads: int = 4, outputs: int = 10, size: int = 28, patch: int = 7
    ) -> None:
        """Build the modules; parameters are drawn from the global generator, as in torch."""
        super().__init__()
        self.side, self.size = patch, size
        self.patch = nn.Linear(patch * patch, width)
        self.position = nn.Parameter(0.1 * torch.randn((size // patch) ** 2, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        batch, across = images.shape[0], self.size // self.side
        patches = images.reshape(batch, across, self.side, across, self.side).transpose(2, 3)
        hidden = self.patch(patches.reshape(batch, across * across, -1)) + self.position
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.norm(hidden).mean(1))
