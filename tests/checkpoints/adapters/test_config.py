"""Adapters that cannot be applied exactly are refused by the name of the option or the tensor."""

from __future__ import annotations

import pytest
import torch

from paretomerge.checkpoints.adapters.config import APPLIED, REFUSED, WITHOUT_EFFECT

peft = pytest.importorskip("peft", reason="the adapters are compared with peft")
pytest.importorskip("transformers", reason="the models are made by transformers")

from tests.checkpoints.tiny_adapters import (  # noqa: E402
    Convolutions,
    edited,
    llama,
    message_of,
    retensored,
    saved,
)


@pytest.fixture
def pair(tmp_path):
    return saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])[:2]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"peft_type": "IA3"}, "of the kind 'IA3'"),
        ({"peft_type": "ADALORA"}, "only LORA"),
        ({"init_lora_weights": "pissa"}, "started from 'pissa'"),
        ({"init_lora_weights": "olora"}, "changes the base too"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"lora_bias": True}, "lora_bias"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
        ({"target_parameters": ["experts.down_proj"]}, "target_parameters"),
        ({"brand_new_option": 3}, "brand_new_option = 3: an option this version does not know"),
        ({"use_dora": True}, "use_dora is True"),
        ({"r": 2}, "rank 3"),
        ({"rank_pattern": {"q_proj": 7}}, "says 7"),
        ({"r": 0}, "not a positive number"),
        ({"lora_alpha": None}, "not a positive number"),
        ({"rank_pattern": [1]}, "not a positive number"),
        ({"modules_to_save": [3]}, "a name is not text"),
        ({"base_model_name_or_path": 3}, "a name is not text"),
        ({"alpha_pattern": {"(": 1}}, "not a regular expression"),
    ],
)
def test_an_option_that_cannot_be_applied_is_refused_by_name(pair, changes, expected):
    base, adapter = pair
    text = message_of(edited(adapter, **changes), base)
    assert expected in text


def test_every_option_that_peft_has_is_applied_harmless_or_refused():
    known = {*APPLIED, *REFUSED, *WITHOUT_EFFECT}
    assert set(peft.LoraConfig().to_dict()) <= known


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t | {"base_model.model.extra.weight": torch.zeros(2)}, "neither a LoRA matrix"),
        (lambda t: {k: v for k, v in t.items() if k != FIRST}, "only one of the matrices"),
        (lambda t: {}, "holds no tensors"),
        (lambda t: t | {FIRST: torch.zeros(3, 9)}, "do not fit the weight [8, 8]"),
        (lambda t: t | {FIRST: torch.zeros(3)}, "do not fit the weight"),
        (lambda t: t | {FIRST.replace("A.weight", "B.bias"): torch.zeros(8)}, "lora_bias"),
        (lambda t: t | {FIRST.replace("A.", "A.other."): torch.zeros(3, 8)}, "several adapters ('', 'other')"),
        (lambda t: {k.replace("q_proj", "w_proj"): v for k, v in t.items()}, "lacks 2 of the 2 tensors"),
        (lambda t: t | {"base_model.model.model.norm.weight": torch.zeros(9)}, "in the base [8]"),
        (lambda t: t | {FIRST.replace("A.weight", "magnitude_vector"): torch.ones(8)}, "use_dora is False"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_the_tensor(pair, change, expected):
    base, adapter = pair
    assert expected in message_of(retensored(adapter, change), base)


def test_grouped_convolutions_and_convolutions_with_dora_are_refused(tmp_path):
    for name, settings in (
        ("grouped", {"target_modules": ["grouped"], "r": 4}),
        ("dora", {"target_modules": ["plane"], "use_dora": True}),
    ):
        (tmp_path / name).mkdir()
        base, adapter, _ = saved(tmp_path / name, Convolutions(), torch.float32, merge=False, **settings)
        assert "convolution" in message_of(adapter, base)


def test_an_incomplete_or_ambiguous_folder_is_explained(pair, tmp_path):
    base, adapter = pair
    (tmp_path / "several" / "one").mkdir(parents=True)
    (tmp_path / "several" / "one" / "adapter_config.json").write_text("{}")
    assert "folders of their own (one)" in message_of(tmp_path / "several")
    (base / "adapter_config.json").write_text((adapter / "adapter_config.json").read_text())
    assert "and whole weights (model.safetensors)" in message_of(base)
    (adapter / "adapter_config.json").write_text("[]")
    assert "not a JSON object" in message_of(adapter)
    (adapter / "adapter_config.json").unlink()
    assert "without its adapter_config.json" in message_of(adapter / "adapter_model.safetensors")
    (base / "model.safetensors").unlink()
    assert "neither adapter_model.safetensors nor" in message_of(base, {"w": torch.zeros(1)})
