"""Attention that automatic differentiation can follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def every_module_called() -> Iterator[None]:
    """No fast paths inside: those of PyTorch's own transformer layers go around the modules they consist of."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@contextmanager
def differentiable_attention() -> Iterator[None]:
    """Plain attention inside: fused kernels have no rule for forward-mode or per-example differentiation.

    That concerns `scaled_dot_product_attention`, and the fast path that `nn.MultiheadAttention` and
    `nn.TransformerEncoderLayer` take in evaluation mode.
    """
    with every_module_called(), sdpa_kernel(SDPBackend.MATH):
        yield
