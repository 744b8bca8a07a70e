"""A toy dual encoder: an image and some captions in, their similarities out, as in CLIP (Radford et al., 2021).

    logits[b, c] = scale · <image embedding of b, caption embedding of c>          embeddings of length one

Every example brings its own captions, so that every layer works on examples one by one, and curvature can tell whose
gradient is whose. Shapes: `B` examples, `C` captions, `L` words, `D` dimensions of the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.suite.models.vit import ImageViT

PADDING = 0
"""The number of no word."""


class DualEncoder(nn.Module):
    """An image tower and a text tower with a common space.

    Args:
        words: size of the vocabulary, padding included.
        length: words of the longest caption.
        width: of the image tower.
        depth: its blocks.
        text_width: of the text tower, which has one block.
        dimensions: of the common space.
        scale: of the cosines at the start, `exp` of a learned parameter.
    """

    def __init__(
        self,
        words: int,
        length: int,
        width: int = 64,
        depth: int = 3,
        text_width: int = 32,
        dimensions: int = 32,
        scale: float = 10.0,
    ) -> None:
        """Build the modules; parameters are drawn from the global generator, as in torch."""
        super().__init__()
        self.image = ImageViT(width, depth, outputs=dimensions)
        self.text = TextTower(words, length, text_width, dimensions)
        self.log_scale = nn.Parameter(torch.tensor([scale]).log())

    def forward(self, images: Tensor, captions: Tensor) -> Tensor:
        """Scaled similarities of images `[B, 28, 28]` with their captions `[B, C, L]`: `[B, C]`."""
        seen, read = self.embed_images(images), self.embed_captions(captions)
        return self.log_scale.exp() * (seen[:, None] * read).sum(-1)

    def embed_images(self, images: Tensor) -> Tensor:
        """`[B, D]`, of length one."""
        return nn.functional.normalize(self.image(images), dim=-1)

    def embed_captions(self, captions: Tensor) -> Tensor:
        """`[B, C, D]`, of length one."""
        return nn.functional.normalize(self.text(captions), dim=-1)


class TextTower(nn.Module):
    """Embedding, one block of a transformer, mean over the words, a linear map: `[B, C, L] → [B, C, D]`."""

    def __init__(self, words: int, length: int, width: int, dimensions: int) -> None:
        """Build the modules."""
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.position = nn.Parameter(0.1 * torch.randn(length, width))
        self.block = CaptionBlock(width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, dimensions)

    def forward(self, captions: Tensor) -> Tensor:
        """Embed."""
        mask = (captions != PADDING).to(self.position.dtype)
        hidden = self.norm(self.block(self.words(captions) + self.position, mask))
        return self.head((hidden * mask[..., None]).sum(-2) / mask.sum(-1, keepdim=True))


class CaptionBlock(nn.Module):
    """Attention of one head and a perceptron over `[..., L, width]`, blind for padding."""

    def __init__(self, width: int) -> None:
        """Two layer norms, four linear maps."""
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """`mask` `[..., L]` is zero at padding."""
        query, key, value = self.qkv(self.norm1(hidden)).chunk(3, -1)
        scores = query @ key.transpose(-1, -2) * hidden.shape[-1] ** -0.5
        attention = (scores + (mask[..., None, :] - 1) * 1e4).softmax(-1)
        hidden = hidden + self.out(attention @ value)
        return hidden + self.down(nn.functional.gelu(self.up(self.norm2(hidden)), approximate="tanh"))
