"""Llama checkpoints of 4 layers and 27,000 parameters on disk: a base and finetunes near it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

HIDDEN, INNER, LAYERS, VOCABULARY = 32, 40, 4, 64

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 32,
    "tie_word_embeddings": False,
}

LAYER_SHAPES = {
    "input_layernorm": [HIDDEN],
    "mlp.down_proj": [HIDDEN, INNER],
    "mlp.gate_proj": [INNER, HIDDEN],
    "mlp.up_proj": [INNER, HIDDEN],
    "post_attention_layernorm": [HIDDEN],
    "self_attn.k_proj": [HIDDEN, HIDDEN],
    "self_attn.o_proj": [HIDDEN, HIDDEN],
    "self_attn.q_proj": [HIDDEN, HIDDEN],
    "self_attn.v_proj": [HIDDEN, HIDDEN],
}

SHAPES = {
    "lm_head.weight": [VOCABULARY, HIDDEN],
    "model.embed_tokens.weight": [VOCABULARY, HIDDEN],
    **{f"model.layers.{k}.{name}.weight": shape for k in range(LAYERS) for name, shape in LAYER_SHAPES.items()},
    "model.norm.weight": [HIDDEN],
}

NAMES = tuple(SHAPES)


def make_models(finetunes: int, dtype: torch.dtype) -> list[dict[str, Tensor]]:
    """The base and finetunes that differ from it by a tenth of its size."""
    generator = torch.Generator().manual_seed(7)
    base = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    models = [base]
    for _ in range(finetunes):
        models.append({name: base[name] + 0.1 * torch.randn(base[name].shape, generator=generator) for name in SHAPES})
    return [{name: tensor.to(dtype) for name, tensor in model.items()} for model in models]


def write_model(folder: Path, tensors: dict[str, Tensor]) -> None:
    """As a Hugging Face folder."""
    folder.mkdir(parents=True)
    dtype = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps({**CONFIG, "torch_dtype": dtype}))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
