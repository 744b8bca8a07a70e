from __future__ import annotations

import pytest

from paretomerge.curvature import FitSubspace
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import group_names


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("model.layers.11.mlp.up.weight", "model.layers.11"),
        ("bert.encoder.layer.3.output.bias", "bert.encoder.layer.3"),
        ("transformer.h.0.attn.weight", "transformer.h.0"),
        ("blocks.0.q.weight", "blocks.0"),
        ("stages.2.blocks.1.w", "stages.2"),
        ("encoder.5.weight", "encoder.5"),
        ("head.weight", "head"),
        ("bias", "bias"),
        ("mesh.0.weight", "mesh"),
    ],
)
def test_layers_are_found_by_their_number(name, layer):
    assert list(group_names([name], "layer")) == [layer]


def test_groups_partition_the_names_in_order():
    names = ["a.x", "h.0.x", "a.y", "h.0.y"]
    assert group_names(names, "model") == {"model": names}
    assert group_names(names, "tensor") == {name: [name] for name in names}
    assert group_names(names, "layer") == {"a": ["a.x", "a.y"], "h.0": ["h.0.x", "h.0.y"]}
    assert group_names(names, lambda name: name[-1]) == {"x": ["a.x", "h.0.x"], "y": ["a.y", "h.0.y"]}
    with pytest.raises(
        PosteriorError,
        match=r"unknown grouping 'layers' .did you mean 'layer'.*: use model, layer, block, tensor, a regular",
    ):
        group_names(names, "layers")


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("bert.encoder.layer.3.attention.self.query.weight", "bert.encoder.layer.3.qk"),
        ("bert.encoder.layer.3.attention.self.value.bias", "bert.encoder.layer.3.vo"),
        ("bert.encoder.layer.3.attention.output.dense.weight", "bert.encoder.layer.3.vo"),
        ("bert.encoder.layer.3.attention.output.LayerNorm.weight", "bert.encoder.layer.3.norms"),
        ("bert.encoder.layer.3.intermediate.dense.weight", "bert.encoder.layer.3.up"),
        ("bert.encoder.layer.3.output.dense.bias", "bert.encoder.layer.3.down"),
        ("transformer.h.0.ln_1.weight", "transformer.h.0.norms"),
        ("transformer.h.0.attn.c_attn.weight", "transformer.h.0.qk"),
        ("transformer.h.0.attn.c_proj.weight", "transformer.h.0.vo"),
        ("transformer.h.0.mlp.c_fc.weight", "transformer.h.0.up"),
        ("transformer.h.0.mlp.c_proj.bias", "transformer.h.0.down"),
        ("model.layers.7.self_attn.k_proj.weight", "model.layers.7.qk"),
        ("model.layers.7.self_attn.o_proj.weight", "model.layers.7.vo"),
        ("model.layers.7.mlp.gate_proj.weight", "model.layers.7.up"),
        ("model.layers.7.mlp.down_proj.weight", "model.layers.7.down"),
        ("model.layers.7.input_layernorm.weight", "model.layers.7.norms"),
        ("blocks.1.qkv.weight", "blocks.1.qk"),
        ("blocks.1.out.weight", "blocks.1.vo"),
        ("blocks.1.conv.weight", "blocks.1"),
        ("head.weight", "head"),
    ],
)
def test_blocks_are_parts_of_layers_by_common_names(name, block):
    assert list(group_names([name], "block")) == [block]


def test_a_regular_expression_groups_by_what_it_captures():
    names = ["h.0.q.w", "h.0.k.w", "h.1.q.w", "head.w"]
    assert group_names(names, r"h\.(\d+)\.(q|k)") == {
        "0.q": names[:1],
        "0.k": names[1:2],
        "1.q": names[2:3],
        "rest": names[3:],
    }
    assert group_names(names, r"(?:h\.(\d+)\.q)|(head)") == {
        "0": names[:1],
        "rest": names[1:2],
        "1": names[2:3],
        "head": names[3:],
    }
    with pytest.raises(PosteriorError, match=r"is no regular expression"):
        group_names(names, "h(")
    with pytest.raises(PosteriorError, match="did you mean 'block'"):
        FitSubspace("blocks")
