"""A convolutional network with batch normalisation: the kind of model whose statistics a merge must estimate again."""

from __future__ import annotations

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Blocks of convolution, batch normalisation, ReLU and pooling, then a linear head: `[B, 28, 28] → [B, 10]`.

    Args:
        widths: channels of every block; each halves the sides of its image.
        outputs: classes.
        size: of the images.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64), outputs: int = 10, size: int = 28) -> None:
        """Build the modules; parameters are drawn from the global generator, as in torch."""
        super().__init__()
        before = (1, *widths)
        self.blocks = nn.ModuleList(ConvolutionBlock(given, made) for given, made in zip(before, widths, strict=False))
        side = size // 2 ** len(widths)
        self.head = nn.Linear(widths[-1] * side * side, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        hidden = images[:, None]
        for block in self.blocks:
            hidden = block(hidden)
        return self.head(hidden.flatten(1))


class ConvolutionBlock(nn.Module):
    """`[B, given, H, W] → [B, made, H // 2, W // 2]`."""

    def __init__(self, given: int, made: int) -> None:
        """A convolution without bias, since batch normalisation has one."""
        super().__init__()
        self.convolution = nn.Conv2d(given, made, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(made)

    def forward(self, hidden: Tensor) -> Tensor:
        """Convolve, normalise, rectify, pool."""
        return nn.functional.avg_pool2d(self.norm(self.convolution(hidden)).relu(), 2)
