"""A small vision transformer for 8 × 8 images, with one shared head of ten classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SmallViT(nn.Module):
    """Pre-norm transformer over 2 × 4 patches: `[B, 8, 8] → [B, 10]`.

    Attention is written out, because forward-mode differentiation has no rule for fused kernels.

    Args:
        width: of the residual stream.
        depth: number of blocks.
        heads: attention heads.
    """

    def __init__(self, width: int = 48, depth: int = 3, heads: int = 4) -> None:
        """Build the modules; parameters are drawn from the global generator, as in torch."""
        super().__init__()
        self.patch = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        batch = images.shape[0]
        patches = images.reshape(batch, 4, 2, 2, 4).transpose(2, 3).reshape(batch, 8, 8)
        hidden = self.patch(patches) + self.position
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(self.norm(hidden).mean(1))


class Block(nn.Module):
    """Attention and a perceptron, each with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        """Two layer norms, four linear maps."""
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """`[B, tokens, width]` to the same."""
        batch, tokens, width = hidden.shape
        qkv = self.qkv(self.norm1(hidden)).reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attention = (query @ key.transpose(-1, -2) * (width // self.heads) ** -0.5).softmax(-1)
        hidden = hidden + self.out((attention @ value).transpose(1, 2).reshape(batch, tokens, width))
        return hidden + self.down(nn.functional.gelu(self.up(self.norm2(hidden)), approximate="tanh"))
