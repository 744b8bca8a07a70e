from __future__ import annotations

import pytest
import torch

from paretomerge.curvature.per_example import map_inputs, per_example

LEAVES = {"w": torch.tensor([1.0, -2.0])}
INPUTS = torch.tensor([[1.0, 2.0], [-3.0, 1.0], [0.5, 0.5]])
TARGETS = torch.tensor([1.0, 2.0, 3.0])


def plain(leaves, inputs, target):
    return target * (leaves["w"] * inputs).sum() ** 2


def looking(leaves, inputs, target):
    """The same, but it looks at its inputs, so it cannot be vectorised."""
    return plain(leaves, inputs, target) if inputs.sum() > -10 else target


@pytest.mark.parametrize("loss", [plain, looking])
def test_every_example_gets_its_own_gradient(loss):
    found = per_example(torch.func.grad(loss))(LEAVES, INPUTS, TARGETS)["w"]
    expected = 2 * TARGETS[:, None] * (INPUTS @ LEAVES["w"])[:, None] * INPUTS
    assert torch.allclose(found, expected)


def test_other_errors_are_raised():
    calls = []

    def broken(leaves, inputs, target):
        calls.append(1)
        raise RuntimeError("the model is broken")

    with pytest.raises(RuntimeError, match="the model is broken"):
        per_example(torch.func.grad(broken))(LEAVES, INPUTS, TARGETS)
    assert len(calls) == 1, "a broken model is not tried again example by example"


def test_inputs_may_be_a_tensor_or_a_mapping():
    assert torch.equal(map_inputs(INPUTS, lambda value: value[:1]), INPUTS[:1])
    assert torch.equal(map_inputs({"x": INPUTS}, lambda value: value[None])["x"], INPUTS[None])
