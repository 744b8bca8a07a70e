"""Roots of the softmax's curvature, one column less than classes: what exact Gauss-Newton passes send back."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def softmax_root(logits: Tensor) -> Iterator[Tensor]:
    """Columns `s_r [..., C]`, `r < C - 1`, with `Σ_r s_r s_rᵀ = diag(p) - ppᵀ` for `p = softmax(logits)`.

    The Cholesky factor in closed form: with `q_r = Σ_{j>r} p_j` the column is
    `√(p_r q_r / (p_r + q_r)) (e_r - p_{>r} / q_r)`: whether the class is `r` or a later one, and which of those (Tanabe
    & Sagae, 1992, An Exact Cholesky Decomposition and the Generalized Inverse of the Variance-Covariance Matrix of the
    Multinomial Distribution). In logarithms, so that nothing is lost where a class is nearly certain.
    """
    whole = logits.logsumexp(-1, keepdim=True)
    for r in range(logits.shape[-1] - 1):
        head, later = logits[..., r : r + 1], logits[..., r + 1 :]
        tail = later.logsumexp(-1, keepdim=True)
        # p q / (p + q) = (p + q) σ (1 - σ) with σ = p / (p + q), a sigmoid.
        share = nn.functional.logsigmoid(head - tail) + nn.functional.logsigmoid(tail - head)
        scale = ((torch.logaddexp(head, tail) - whole + share) / 2).exp()
        yield torch.cat([torch.zeros_like(logits[..., :r]), scale, -scale * later.softmax(-1)], -1)
