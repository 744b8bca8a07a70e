"""Quantised checkpoints are refused with what was seen and with the way out; masks and counters are not."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError

PLAIN = {"layer.weight": torch.ones(2, 2, dtype=torch.bfloat16)}


def written(folder, tensors, config=None):
    save_file(tensors, folder / "model.safetensors")
    if config is not None:
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def message_of(source) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"quant_method": "gptq", "bits": 4}, "quantization_config (gptq)"),
        ({"load_in_4bit": True}, "quantization_config (load_in_4bit)"),
        ({"quant_method": "fp8"}, "quantization_config (fp8)"),
    ],
)
def test_a_configuration_that_says_so_is_believed(tmp_path, entry, expected):
    for config in ({"quantization_config": entry}, {"text_config": {"quantization_config": entry}}):
        text = message_of(written(tmp_path, PLAIN, config))
        assert expected in text
        assert "dequantize()" in text
        assert str(tmp_path) in text


@pytest.mark.parametrize("config", [None, {}, {"quantization_config": None}, {"text_config": None}, "not json", "[]"])
def test_a_configuration_without_quantisation_is_fine(tmp_path, config):
    assert set(open_checkpoint(written(tmp_path, PLAIN, config))) == set(PLAIN)


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("layer.qweight", "GPTQ or AWQ"),
        ("layer.qzeros", "GPTQ or AWQ"),
        ("layer.SCB", "bitsandbytes, int8"),
        ("layer.weight.absmax", "bitsandbytes, 4 bits"),
        ("layer.weight.quant_map", "bitsandbytes, 4 bits"),
        ("layer.weight_scale_inv", "float8"),
        ("layer.weight_scale", "float8 or int8"),
        ("layer.weight_packed", "compressed-tensors"),
        ("layer._packed_params._packed_params", "PyTorch"),
    ],
)
def test_names_of_quantised_models_are_known(tmp_path, name, writer):
    for source in (PLAIN | {name: torch.ones(2)}, written(tmp_path, PLAIN | {name: torch.ones(2)})):
        text = message_of(source)
        assert f"holds {name!r}" in text
        assert writer in text


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 2).to(torch.float8_e4m3fn),
        torch.ones(2, 2).to(torch.float8_e5m2),
        torch.ones(2, 2, dtype=torch.int8),
        torch.ones(2, 2, dtype=torch.uint8),
    ],
)
def test_weights_that_are_codes_are_refused(tmp_path, tensor):
    assert f"is {tensor.dtype}" in message_of(written(tmp_path, {"layer.weight": tensor}))
    for name in ("weight", "experts.gate_up_proj", "experts.gate_up_proj_blocks"):
        assert f"{name!r} is {tensor.dtype}" in message_of({name: tensor})


def test_masks_and_counters_may_be_integers():
    plain = PLAIN | {
        "h.0.attn.bias": torch.ones(1, 1, 2, 2, dtype=torch.uint8),
        "embeddings.position_ids": torch.arange(3),
        "blocks": torch.ones(2, dtype=torch.int8),
        "mask": torch.ones(2, dtype=torch.bool),
    }
    assert set(open_checkpoint(plain)) == set(plain)


def test_a_quantised_base_of_an_adapter_is_refused(tmp_path):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    base.mkdir()
    adapter.mkdir()
    written(base, PLAIN, {"quantization_config": {"quant_method": "bitsandbytes"}})
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 1}')
    matrices = {"lora_A": torch.ones(1, 2), "lora_B": torch.ones(2, 1)}
    named = {f"base_model.model.layer.{part}.weight": matrix for part, matrix in matrices.items()}
    save_file(named, adapter / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match="bitsandbytes"):
        open_checkpoint(adapter, base)
    (adapter / "config.json").write_text((base / "config.json").read_text())  # as some trainers leave it there
    (base / "config.json").unlink()
    assert open_checkpoint(adapter, base)["layer.weight"].tolist() == [[2, 2], [2, 2]]
