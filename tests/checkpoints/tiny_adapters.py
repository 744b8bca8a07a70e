"""Tiny models with random adapters, made by transformers and peft, for the tests of adapters."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError

ATTENTION = ["query", "value"]


def bert(**changes):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
    config = transformers.BertConfig(vocab_size=16, max_position_embeddings=8, num_labels=3, **(sizes | changes))
    return transformers.BertForSequenceClassification(config)


def llama(**changes):
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = transformers.LlamaConfig(vocab_size=16, intermediate_size=12, **(sizes | changes))
    return transformers.LlamaForCausalLM(config)


def gpt2(**changes):
    config = transformers.GPT2Config(vocab_size=16, n_positions=8, n_embd=8, n_layer=2, n_head=2, **changes)
    return transformers.GPT2LMHeadModel(config)


class Convolutions(nn.Module):
    """One convolution of every dimension, one of them with groups."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Conv1d(4, 6, 3)
        self.plane = nn.Conv2d(4, 6, (3, 2))
        self.point = nn.Conv2d(4, 6, 1)
        self.space = nn.Conv3d(4, 6, 2)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)


def adapt(model: nn.Module, **settings):
    """The model with an adapter whose every trained tensor is random, so that nothing is zero by chance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, peft.LoraConfig(**({"r": 3, "lora_alpha": 5} | settings)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if parameter.requires_grad:
                noise = 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(noise.to(parameter.dtype) + (2 if "magnitude" in name else 0))
    return wrapped


def saved(folder: Path, model: nn.Module, dtype: torch.dtype, merge: bool = True, **settings):
    """A base folder, an adapter folder, and what peft's merge gives."""
    torch.manual_seed(0)
    model = model.to(dtype)
    base = folder / "base"
    if hasattr(model, "save_pretrained"):
        model.save_pretrained(base)
    else:
        base.mkdir()
        save_file(model.state_dict(), base / "model.safetensors")
    wrapped = adapt(model, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(folder / "adapter")
        merged = wrapped.merge_and_unload() if merge else nn.Identity()
    return base, folder / "adapter", dict(merged.state_dict())


def require_equal(checkpoint, expected, tolerance: float) -> None:
    for name in checkpoint:
        assert torch.allclose(checkpoint[name].double(), expected[name].double(), rtol=tolerance, atol=tolerance), name


def edited(folder: Path, **changes) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def retensored(folder: Path, change) -> Path:
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path)
    return folder


def message_of(*arguments) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(*arguments)
    return str(caught.value)
