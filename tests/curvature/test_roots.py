from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.curvature.roots import softmax_root


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=6))
def test_the_columns_are_a_root_of_the_softmax_curvature(logits):
    """One column less than classes, and nothing is lost where a class is nearly certain."""
    logits = torch.tensor([logits], dtype=torch.float64)
    columns = list(softmax_root(logits))
    p = logits.softmax(-1)[0]
    size = len(p)
    assert len(columns) == size - 1
    root = torch.stack(columns)[:, 0] if columns else torch.zeros(0, size, dtype=torch.float64)
    # 1 - p as a sum of the others: the subtraction loses what the root keeps.
    others = p.outer(p) * (1 - torch.eye(size, dtype=torch.float64))
    expected = others.sum(1).diag() - others
    size_of = expected.diagonal().sqrt()
    assert ((root.T @ root - expected).abs() <= 1e-12 * size_of.outer(size_of) + 1e-300).all()


def test_certain_outputs_have_finite_columns():
    for logits in ([1e4, 0.0, -1e4], [-1e4, 0.0, 1e4], [0.0, 0.0, 1e4]):
        columns = list(softmax_root(torch.tensor([logits])))
        assert torch.isfinite(torch.stack(columns)).all()


@pytest.mark.parametrize("name", ["categorical", "gaussian", "tokens", "causal"])
def test_every_likelihood_has_a_root_of_its_curvature(name):
    torch.manual_seed(0)
    shape = (3, 4, 3) if name in ("tokens", "causal") else (3, 3)
    outputs = 2 * torch.randn(shape, dtype=torch.float64)
    targets = torch.tensor([[0, -100, 2, 1], [1, 1, 1, 0], [-100, 2, -100, -100]])
    likelihood = likelihood_of(name)
    size = outputs[0].numel()
    root = torch.stack(list(likelihood.curvature_root(outputs, targets))).reshape(-1, 3, size)
    units = torch.eye(size, dtype=torch.float64).reshape(size, 1, *shape[1:]).expand(size, *shape)
    curvature = likelihood.curvature_product(outputs, units, targets).reshape(size, 3, size)
    for b in range(3):
        assert torch.allclose(root[:, b].T @ root[:, b], curvature[:, b], atol=1e-14)
