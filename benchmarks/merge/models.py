"""Llama-shaped checkpoints of any size with random values: a base, and finetunes near it.

What a merge costs does not depend on the values, except that trimming meets ties: bfloat16 values a step apart, as
real finetunes have them, come from adding small noise and rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import write_checkpoint
from paretomerge.types import TensorSpec

SPREAD, MOVED = 0.02, 0.002  # standard deviations of a weight, and of what finetuning changed


def make_models(folder: Path, layers: int, width: int, finetunes: int, vocabulary: int = 32_000) -> list[Path]:
    """`base` and `finetune-0` … in `folder`, bfloat16, in shards; those that are there are kept."""
    specs = llama_specs(layers, width, vocabulary)
    total = sum(spec.numel for spec in specs.values()) * 2
    made = []
    for number in range(-1, finetunes):
        path = folder / ("base" if number < 0 else f"finetune-{number}")
        made.append(path)
        if path.exists():
            continue
        config = json.dumps(llama_config(layers, width, vocabulary), indent=2)
        texts = {"config.json": config}
        write_checkpoint(path, specs, _values(specs, number), texts=texts, max_shard_bytes=total * 6 // 10)
    return made


def llama_specs(layers: int, width: int, vocabulary: int) -> dict[str, TensorSpec]:
    """Names and shapes of a Llama with an untied output layer; 18 layers of width 1024 have 297 M parameters."""
    inner = width * 11 // 4
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes |= {f"{prefix}self_attn.{part}_proj.weight": (width, width) for part in "qkvo"}
        shapes |= {f"{prefix}mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (width, inner)
        shapes |= {f"{prefix}{part}_layernorm.weight": (width,) for part in ("input", "post_attention")}
    shapes |= {"model.norm.weight": (width,), "lm_head.weight": (vocabulary, width)}
    return {name: TensorSpec(shape, torch.bfloat16) for name, shape in shapes.items()}


def llama_config(layers: int, width: int, vocabulary: int) -> dict[str, object]:
    """What tools that read `config.json` need."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": width * 11 // 4,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "num_key_value_heads": width // 64,
        "vocab_size": vocabulary,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }


def _values(specs: dict[str, TensorSpec], number: int) -> Iterator[tuple[str, Tensor]]:
    start, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(number + 1)
    for name, spec in specs.items():
        values = SPREAD * torch.randn(spec.shape, generator=start)
        if number >= 0:
            values = values.bfloat16() + MOVED * torch.randn(spec.shape, generator=own)
        yield name, values.bfloat16()
