from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from tests.training.trainer.tiny_runs import Classified, Texts, bert, gpt2, lora, run, transformers

from paretomerge.curvature import trainer_groups
from paretomerge.errors import PosteriorError
from paretomerge.training.trainer import optimizer_posterior


def llama():
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2
    )
    return transformers.LlamaForCausalLM(config)


MODELS = {
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
    "adapter": lambda: lora(bert(), target_modules=["query"], modules_to_save=["classifier", "LayerNorm"]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_the_groups_are_those_the_trainer_makes(tmp_path, kind):
    """By identity, in order: the file numbers parameters so."""
    model = MODELS[kind]()
    arguments = transformers.TrainingArguments(str(tmp_path), use_cpu=True, report_to=[])
    optimizer = transformers.Trainer(model, arguments).create_optimizer()
    found = [[id(tensor) for tensor in group.values()] for group in trainer_groups(model)]
    assert found == [[id(parameter) for parameter in group["params"]] for group in optimizer.param_groups]


def test_an_adapters_file_is_read_under_the_names_of_the_adapter(tmp_path):
    """All matrices are decayed: the second group of the file is empty."""
    model = lora(gpt2(), target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    run(tmp_path, model, Texts(8), save_strategy="steps", save_steps=2, optim="adamw_torch_fused")
    checkpoint = tmp_path / "checkpoint-2"
    found = optimizer_posterior(checkpoint, model, batch_size=3)
    assert found.mean.keys() == load_file(checkpoint / "adapter_model.safetensors").keys()
    stored = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    assert [len(group["params"]) for group in stored["param_groups"]] == [6, 0]
    for number, value in enumerate(found.precision.values()):
        expected = 3 * stored["state"][number]["exp_avg_sq"] / (1 - 0.999**2)
        assert torch.allclose(value, expected, rtol=1e-5)
        assert value.any()


def test_another_model_and_frozen_parameters_are_refused(tmp_path):
    model = bert()
    run(tmp_path, model, Classified(4), save_strategy="steps", save_steps=1)
    with pytest.raises(PosteriorError, match=r"groups hold .* parameters, the model's .*: it is another model"):
        optimizer_posterior(tmp_path / "checkpoint-1", bert(num_hidden_layers=2), batch_size=4)
    with pytest.raises(PosteriorError, match=r"has shape \[3, 8\], the parameter \[4, 8\]"):
        optimizer_posterior(tmp_path / "checkpoint-1", bert(num_labels=4), batch_size=4)
    model.classifier.requires_grad_(False)
    with pytest.raises(PosteriorError, match="other parameters were frozen in training; set requires_grad"):
        optimizer_posterior(tmp_path / "checkpoint-1", model, batch_size=4)


def test_another_optimizer_is_refused_with_what_to_do(tmp_path):
    model = bert()
    run(tmp_path, model, Classified(4), save_strategy="steps", save_steps=1, optim="adafactor")
    with pytest.raises(PosteriorError, match=r"Adafactor keeps row and column sums only\. Measure a Fisher matrix"):
        optimizer_posterior(tmp_path / "checkpoint-1", model, batch_size=4)
