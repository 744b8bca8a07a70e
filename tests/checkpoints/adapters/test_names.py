"""The names of an adapter, of its model and of the base: prefixes, ties, and whole tensors beside the matrices."""

from __future__ import annotations

import warnings

import pytest
import torch
from safetensors.torch import load_file

from paretomerge.checkpoints import open_checkpoint

pytest.importorskip("peft", reason="the adapters are compared with peft")
pytest.importorskip("transformers", reason="the models are made by transformers")

from tests.checkpoints.tiny_adapters import (
    ATTENTION,
    adapt,
    bert,
    gpt2,
    llama,
    message_of,
    require_equal,
    retensored,
    saved,
)


def test_names_that_still_hold_the_adapter_and_wrappers_are_understood(tmp_path):
    base, adapter, expected = saved(tmp_path, gpt2(), torch.float32, target_modules=["wpe", "c_attn"], use_dora=True)

    def as_in_memory(name):
        for part in ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"):
            name = name.replace(part, f"_orig_mod.{part}.first")
        return name.replace("lora_magnitude_vector", "lora_magnitude_vector.first.weight")

    retensored(adapter, lambda tensors: {as_in_memory(name): tensor for name, tensor in tensors.items()})
    require_equal(open_checkpoint(adapter, base), expected, 1e-6)


@pytest.mark.parametrize("prefix", ["", "bert.", "model.bert."])
def test_a_base_saved_from_another_class_is_matched_by_its_prefix(tmp_path, prefix):
    base, adapter, expected = saved(tmp_path, bert(), torch.float32, target_modules=ATTENTION, task_type="SEQ_CLS")
    bare = {name.removeprefix("bert."): value for name, value in open_checkpoint(base).items() if "bert" in name}
    checkpoint = open_checkpoint(adapter, {prefix + name: value for name, value in bare.items()})
    trained = {name for name in checkpoint if name.startswith("classifier.")}
    assert trained == {"classifier.weight", "classifier.bias"}  # the base has no head, the adapter brings it
    require_equal(
        checkpoint,
        {(prefix + name.removeprefix("bert.") if "bert" in name else name): v for name, v in expected.items()},
        1e-6,
    )


def test_an_adapter_of_the_bare_encoder_is_matched_to_a_base_with_a_head(tmp_path):
    torch.manual_seed(0)
    model = bert()
    model.save_pretrained(tmp_path / "base")
    wrapped = adapt(model.bert, target_modules=ATTENTION)
    wrapped.save_pretrained(tmp_path / "adapter")
    expected = wrapped.merge_and_unload().state_dict()
    checkpoint = open_checkpoint(tmp_path / "adapter", tmp_path / "base")
    assert set(checkpoint) == set(open_checkpoint(tmp_path / "base"))
    require_equal(
        {name: value for name, value in checkpoint.items() if name.startswith("bert.")},
        {f"bert.{name}": value for name, value in expected.items()},
        1e-6,
    )


def test_a_base_with_the_targets_under_two_prefixes_is_refused(tmp_path):
    base, adapter, _ = saved(tmp_path, bert(), torch.float32, target_modules=ATTENTION)
    bare = {name.removeprefix("bert."): value for name, value in open_checkpoint(base).items() if "bert" in name}
    twice = {f"{prefix}.bert.{name}": value for name, value in bare.items() for prefix in ("teacher", "student")}
    assert "several prefixes ('student.', 'teacher.')" in message_of(adapter, twice)


def test_a_resized_embedding_saved_by_peft_replaces_that_of_the_base(tmp_path):
    torch.manual_seed(0)
    model = llama()
    model.save_pretrained(tmp_path / "base")
    model.resize_token_embeddings(20)
    wrapped = adapt(model, target_modules=["q_proj"])
    wrapped.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    checkpoint = open_checkpoint(tmp_path / "adapter", tmp_path / "base")
    assert checkpoint.spec("model.embed_tokens.weight").shape == (20, 8)
    require_equal(checkpoint, wrapped.merge_and_unload().state_dict(), 1e-6)


@pytest.mark.parametrize("vocabulary", [16, 20])
def test_matrices_of_an_embedding_are_added_to_the_embedding_that_is_saved_beside_them(tmp_path, vocabulary):
    torch.manual_seed(0)
    model = llama()
    model.save_pretrained(tmp_path / "base")
    model.resize_token_embeddings(vocabulary)
    with torch.no_grad():
        model.model.embed_tokens.weight.add_(1)
    wrapped = adapt(model, target_modules=["q_proj", "embed_tokens"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped.save_pretrained(tmp_path / "adapter")
    checkpoint = open_checkpoint(tmp_path / "adapter", tmp_path / "base")
    assert checkpoint.spec("model.embed_tokens.weight").shape == (vocabulary, 8)
    names = [name for name in checkpoint if name != "lm_head.weight"]  # resized too, but peft does not save it
    require_equal({name: checkpoint[name] for name in names}, wrapped.merge_and_unload().state_dict(), 1e-6)


def test_a_tied_output_layer_saved_beside_the_embedding_is_not_a_new_tensor(tmp_path):
    torch.manual_seed(0)
    model = llama(tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "base")
    wrapped = adapt(model, target_modules=["q_proj"])
    wrapped.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    assert any("lm_head" in name for name in load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    assert set(open_checkpoint(tmp_path / "adapter", tmp_path / "base")) == set(open_checkpoint(tmp_path / "base"))


def test_a_target_that_is_tied_in_the_base_is_refused_with_the_reason(tmp_path):
    base, adapter, _ = saved(
        tmp_path, llama(tie_word_embeddings=True), torch.float32, target_modules=["q_proj", "lm_head"]
    )
    assert "tied to the embedding" in message_of(adapter, base)
