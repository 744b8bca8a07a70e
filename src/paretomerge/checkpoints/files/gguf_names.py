"""From the names and the order of a GGUF file to those of Hugging Face.

llama.cpp's converter renames every tensor, and for llama (and mistral, which it stores as llama) it permutes the
rows of the query and key projections: its rotary embedding turns neighbouring pairs of rows `(0, 1), (2, 3), …`,
that of Hugging Face pairs `(0, d/2), (1, d/2 + 1), …` of each head with `d` rows. `restore_rows` puts them back.
Mapped are the architectures whose tensors are otherwise stored as they are; of all others the names and values
stay as in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
ARCHITECTURES = ("llama", "qwen2", "qwen3")
PERMUTED = ("llama",)
COMPUTED = ("rope_freqs.weight",)
"""Tensors that llama.cpp computes from the configuration; Hugging Face models do not have them."""

_IN_LAYER = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")


@dataclass(frozen=True)
class Mapped:
    """One tensor: its name in the file, and the number of heads whose rows are to be put back (0: none)."""

    name: str
    heads: int = 0


def map_names(names: Iterable[str], metadata: Mapping[str, object]) -> dict[str, Mapped]:
    """Hugging Face name to where it comes from.

    A model with any tensor that has no place in the table (mixtures of experts, for example) keeps all names of
    the file: half of a mapping would look like a model and be none.

    Args:
        names: those in the file.
        metadata: the scalar entries of the file; used are `general.architecture` and the numbers of heads.
    """
    architecture = metadata.get("general.architecture")
    names = list(names)
    as_they_are = {name: Mapped(name) for name in names}
    if architecture not in ARCHITECTURES:
        return as_they_are
    heads = metadata.get(f"{architecture}.attention.head_count")
    key_heads = metadata.get(f"{architecture}.attention.head_count_kv", heads)
    permuted = architecture in PERMUTED
    # not isinstance: true and false are numbers to it
    if permuted and not (type(heads) is int and type(key_heads) is int):
        return as_they_are
    found = {}
    for name in names:
        if name in COMPUTED:
            continue
        new, part = _rename(name)
        if new is None:
            return as_they_are
        rows_of = {"attn_q": heads, "attn_k": key_heads}.get(part, 0) if permuted else 0
        found[new] = Mapped(name, rows_of if isinstance(rows_of, int) else 0)
    return found


def restore_rows(tensor: Tensor, heads: int) -> Tensor:
    """Undo the converter's permutation of rows: `[heads · d, …]`, pairs of neighbours to halves of each head.

    >>> import torch
    >>> restore_rows(torch.tensor([0, 2, 1, 3]), heads=1).tolist()
    [0, 1, 2, 3]
    """
    half = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, half, 2, *tensor.shape[1:]).transpose(1, 2).reshape(tensor.shape)


def _rename(name: str) -> tuple[str | None, str]:
    if name in TOP:
        return TOP[name], ""
    matched = _IN_LAYER.fullmatch(name)
    if matched is None or matched[2] not in LAYER:
        return None, ""
    return f"model.layers.{matched[1]}.{LAYER[matched[2]]}.{matched[3]}", matched[2]
