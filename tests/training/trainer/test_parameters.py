from __future__ import annotations

import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file
from tests.training.trainer.tiny_runs import bert, gpt2, lora
from torch import nn

from paretomerge.errors import MissingExtraError, PosteriorError
from paretomerge.training.trainer.parameters import bare_module, evaluating, trained_parameters


def test_frozen_parameters_are_left_out_and_tied_ones_occur_once():
    model = gpt2()
    model.transformer.wpe.weight.requires_grad_(False)
    found = trained_parameters(model)
    assert not {"transformer.wpe.weight", "lm_head.weight"} & set(found)
    assert found["transformer.wte.weight"] is model.lm_head.weight


def test_wrappers_of_training_leave_no_trace(tmp_path):
    model = bert()
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = [
            nn.parallel.DistributedDataParallel(model),
            nn.DataParallel(model),
            torch.compile(model, backend="eager"),
            nn.parallel.DistributedDataParallel(torch.compile(model, backend="eager")),
        ]
    finally:
        torch.distributed.destroy_process_group()
    for outer in wrapped:
        assert bare_module(outer) is model
        assert trained_parameters(outer).keys() == dict(model.named_parameters()).keys()
    model.bert.encoder.layer[0] = torch.compile(model.bert.encoder.layer[0], backend="eager")
    assert trained_parameters(model).keys() == dict(bert().named_parameters()).keys()


SETTINGS = {
    "plain": {"target_modules": ["query", "value"]},
    "head": {"task_type": "SEQ_CLS", "target_modules": ["query"]},
    "whole modules": {"target_modules": ["query"], "modules_to_save": ["pooler"]},
    "dora": {"target_modules": ["query"], "use_dora": True},
    "biases": {"target_modules": ["query"], "bias": "lora_only"},
    "embeddings": {"target_modules": ["word_embeddings"]},
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_an_adapter_has_the_names_of_its_file(tmp_path, kind):
    model = lora(bert(), **SETTINGS[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path, save_embedding_layers=False)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    found = trained_parameters(model)
    assert found.keys() == saved.keys()
    assert all(torch.equal(found[name], saved[name]) for name in saved)


def test_the_active_one_of_several_adapters_is_the_trained_one():
    import peft

    model = lora(bert(), target_modules=["query"])
    model.add_adapter("other", peft.LoraConfig(target_modules=["value"], r=3))
    model.set_adapter("other")
    found = trained_parameters(model)
    assert all(".value.lora_" in name and "other" not in name for name in found)
    assert len(found) == 2


def test_an_adapter_inside_transformers_gets_the_prefix_it_is_saved_with(tmp_path):
    import peft

    model = bert()
    model.add_adapter(peft.LoraConfig(target_modules=["query"], r=2))
    model.save_pretrained(tmp_path)
    assert trained_parameters(model).keys() == load_file(tmp_path / "adapter_model.safetensors").keys()


def test_what_saving_the_adapter_loses_is_refused():
    model = lora(bert(), target_modules=["query"])
    model.base_model.model.classifier.bias.requires_grad_(True)
    with pytest.raises(PosteriorError, match=r"classifier.bias' is trained, but saving the adapter does not save it"):
        trained_parameters(model)


def test_nothing_to_train_is_refused():
    with pytest.raises(PosteriorError, match="no parameter of the model requires a gradient"):
        trained_parameters(bert().requires_grad_(False))


def test_an_adapter_without_peft_names_the_extra(monkeypatch):
    model = lora(bert(), target_modules=["query"])
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtraError, match=r"paretomerge\[hf\]"):
        trained_parameters(model)


def test_evaluation_ends_with_every_module_as_it_was():
    model = gpt2().train()
    model.transformer.h[0].eval()
    with evaluating(model):
        assert not any(inner.training for inner in model.modules())
        assert model.config.use_cache is False
    assert model.training
    assert not model.transformer.h[0].attn.training
    assert model.config.use_cache is True
