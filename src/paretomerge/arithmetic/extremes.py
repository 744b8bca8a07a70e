"""The smallest and the largest element of a tensor, in one pass by one thread."""

from __future__ import annotations

import torch
from torch import Tensor

from paretomerge.arithmetic.tiles import SERIAL


def extremes(values: Tensor) -> Tensor:
    """`[2]`: the smallest and the largest element, both NaN where there is a NaN; zeros for no elements.

    So both are finite exactly where all elements are. Threads that watch over values while others compute must not
    start threads of their own: the tensor is cut into pieces on which PyTorch uses one.
    """
    flat = values.detach().reshape(-1)
    if not flat.numel():
        return torch.zeros(2)
    if flat.device.type != "cpu" or flat.numel() <= SERIAL:
        return torch.stack(flat.aminmax())
    found = torch.stack([torch.stack(piece.aminmax()) for piece in flat.split(SERIAL)])
    return torch.stack([found[:, 0].amin(), found[:, 1].amax()])
