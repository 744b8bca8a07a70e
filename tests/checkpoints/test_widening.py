"""Half precision read as float32: the same values, converted when they are asked for."""

from __future__ import annotations

import torch

from paretomerge.checkpoints import open_checkpoint, widened, write_params

PARAMS = {
    "half": torch.tensor([1.5, -2.25], dtype=torch.bfloat16),
    "short": torch.tensor([0.1], dtype=torch.float16),
    "single": torch.tensor([0.1]),
    "double": torch.tensor([0.1], dtype=torch.float64),
    "count": torch.tensor([3]),
}


def test_floats_of_less_than_32_bits_become_float32_and_nothing_else_changes(tmp_path):
    narrow = open_checkpoint(write_params(tmp_path / "m", PARAMS))
    wide = widened(narrow)
    assert list(wide) == list(narrow)
    for name, tensor in PARAMS.items():
        expected = torch.float32 if name in ("half", "short") else tensor.dtype
        assert wide[name].dtype == wide.spec(name).dtype == expected
        assert torch.equal(wide[name], tensor.to(expected))
    assert wide.source == narrow.source


def test_what_is_not_converted_is_the_tensor_of_the_checkpoint_itself(tmp_path):
    narrow = open_checkpoint(write_params(tmp_path / "m", PARAMS))
    wide = widened(narrow)
    assert wide.locate("single") == narrow.locate("single")
    assert wide.locate("half") != narrow.locate("half")
    buffer = torch.empty(64, dtype=torch.uint8)
    assert torch.equal(wide.read("half", buffer), PARAMS["half"].float())
    wide.require_unchanged()
