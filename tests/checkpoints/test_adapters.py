"""LoRA adapters on a base: equal to peft's own merge, read lazily, and refused when they cannot be exact."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints import safetensors_files as reading
from paretomerge.errors import CheckpointError, StorageError

peft = pytest.importorskip("peft", reason="the adapters are compared with peft")
transformers = pytest.importorskip("transformers", reason="the models are made by transformers")

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


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


ATTENTION = ["query", "value"]
CASES = {
    "bert": (bert, {"target_modules": ATTENTION}),
    "bert, whole classifier": (bert, {"target_modules": ATTENTION, "task_type": "SEQ_CLS"}),
    "bert, all biases": (bert, {"target_modules": ATTENTION, "bias": "all"}),
    "bert, biases of targets": (bert, {"target_modules": ATTENTION, "bias": "lora_only"}),
    "bert, embeddings": (bert, {"target_modules": ["word_embeddings", "dense"]}),
    "llama": (llama, {"target_modules": "all-linear"}),
    "llama, rsLoRA": (llama, {"target_modules": ["q_proj", "down_proj"], "use_rslora": True}),
    "llama, patterns": (
        llama,
        {
            "target_modules": ["q_proj", "k_proj", "up_proj"],
            "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 4},
            "alpha_pattern": {r"model\.layers\.\d+\.self_attn\.k_proj": 11},
        },
    ),
    "llama, DoRA": (llama, {"target_modules": ["q_proj", "k_proj", "down_proj"], "use_dora": True}),
    "llama, DoRA and rsLoRA": (llama, {"target_modules": ["v_proj"], "use_dora": True, "use_rslora": True}),
    "llama, whole embedding": (llama, {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "llama, one layer": (llama, {"target_modules": ["q_proj"], "layers_to_transform": [1]}),
    "llama, gaussian": (llama, {"target_modules": ["q_proj"], "init_lora_weights": "gaussian"}),
    "llama, orthogonal": (llama, {"target_modules": ["q_proj"], "r": 2, "init_lora_weights": "orthogonal"}),
    "llama, mica": (llama, {"target_modules": ["q_proj"], "init_lora_weights": "mica"}),
    "gpt2": (gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"]}),
    "gpt2, square only": (gpt2, {"target_modules": r".*attn\.c_proj"}),
    "gpt2, DoRA": (gpt2, {"target_modules": ["c_attn", "c_proj"], "use_dora": True}),
    "gpt2, embedding": (gpt2, {"target_modules": ["wte", "wpe"]}),
    "gpt2, DoRA on an embedding": (gpt2, {"target_modules": ["wpe"], "use_dora": True}),
    "convolutions": (Convolutions, {"target_modules": ["line", "plane", "point", "space"]}),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_an_adapter_gives_what_the_merge_of_peft_gives(tmp_path, case, dtype):
    if case == "llama, mica" and dtype == torch.float64:
        pytest.skip("peft refuses MiCA in float64")
    make, settings = CASES[case]
    base, adapter, expected = saved(tmp_path, make(), dtype, **settings)
    checkpoint = open_checkpoint(adapter, base)
    assert set(checkpoint) == set(open_checkpoint(base))
    require_equal(checkpoint, expected, TOLERANCE[dtype])
    unchanged = open_checkpoint(base)
    changed = [name for name in checkpoint if not torch.equal(checkpoint[name], unchanged[name])]
    assert changed
    assert checkpoint.is_adapter
    assert not unchanged.is_adapter


def test_a_converted_pissa_adapter_is_a_plain_one(tmp_path):
    torch.manual_seed(0)
    model = llama()
    model.save_pretrained(tmp_path / "base")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(
            model, peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights="pissa")
        )
        wrapped.save_pretrained(tmp_path / "initial")
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "lora_" in name:
                    parameter.add_(0.1 * torch.randn(parameter.shape))
        wrapped.save_pretrained(
            tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "initial")
        )
        wrapped.save_pretrained(tmp_path / "pissa")
        expected = dict(wrapped.merge_and_unload().state_dict())
    assert "path_initial_model_for_weight_conversion" in message_of(tmp_path / "pissa", tmp_path / "base")
    require_equal(open_checkpoint(tmp_path / "plain", tmp_path / "base"), expected, 2e-6)


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16])
def test_an_adapter_on_a_half_precision_base_is_not_rounded(tmp_path, stored):
    base, adapter, _ = saved(tmp_path, llama(), stored, target_modules=["q_proj"])
    checkpoint, plain, matrices = open_checkpoint(adapter, base), open_checkpoint(base), None
    name = "model.layers.0.self_attn.q_proj.weight"
    matrices = load_file(adapter / "adapter_model.safetensors")
    prefix = f"base_model.model.{name.removesuffix('.weight')}"
    up, down = (matrices[f"{prefix}.lora_{part}.weight"].float() for part in "BA")
    exact = plain[name].double() + 5 / 3 * up.double() @ down.double()
    assert plain.spec(name).dtype == stored
    assert checkpoint.spec(name).dtype == checkpoint[name].dtype == torch.float32
    assert checkpoint.spec("model.norm.weight").dtype == stored
    assert (checkpoint[name] - exact).abs().max() < 1e-6
    assert (checkpoint[name].to(stored) - exact).abs().max() > 1e-4


def test_an_adapter_saved_in_bfloat16_on_a_float64_base_is_float64(tmp_path):
    base, adapter, _ = saved(tmp_path, llama(), torch.float64, target_modules=["q_proj"])
    retensored(adapter, lambda tensors: {name: tensor.bfloat16() for name, tensor in tensors.items()})
    assert open_checkpoint(adapter, base)["model.layers.0.self_attn.q_proj.weight"].dtype == torch.float64


def test_an_average_of_adapters_has_no_cross_terms(tmp_path):
    torch.manual_seed(0)
    model = llama().double()
    model.save_pretrained(tmp_path / "base")
    base, name = open_checkpoint(tmp_path / "base"), "model.layers.0.self_attn.q_proj.weight"
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    adapt(model, target_modules=["q_proj"]).save_pretrained(tmp_path / "one")
    other = tmp_path / "other"
    other.mkdir()
    for file in (tmp_path / "one").iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    retensored(other, lambda tensors: {key: torch.randn_like(tensor) for key, tensor in tensors.items()})
    average, deltas, ups, downs = 0, 0, [], []
    for folder, weight in ((tmp_path / "one", 0.3), (other, 0.7)):
        average = average + weight * open_checkpoint(folder, base)[name]
        tensors = load_file(folder / "adapter_model.safetensors")
        ups.append(weight * tensors[key.format("B")])
        downs.append(weight * tensors[key.format("A")])
        deltas = deltas + weight * 5 / 3 * tensors[key.format("B")] @ tensors[key.format("A")]
    torch.testing.assert_close(average, base[name] + deltas, rtol=1e-12, atol=1e-12)
    of_averages = base[name] + 5 / 3 * sum(ups) @ sum(downs)
    assert (average - of_averages).abs().max() > 0.01


def test_only_what_is_asked_for_is_read_and_the_rest_is_left_to_the_base(tmp_path, monkeypatch):
    base, adapter, _ = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    read, original = [], reading.SafetensorsFile.read
    monkeypatch.setattr(
        reading.SafetensorsFile,
        "read",
        lambda self, name, buffer=None: read.append((self.path.name, name)) or original(self, name, buffer),
    )
    plain = open_checkpoint(base)
    checkpoint = open_checkpoint(adapter, plain)
    repr(checkpoint)
    assert read == []
    assert checkpoint.locate("model.norm.weight") == plain.locate("model.norm.weight")
    source, name = checkpoint.locate("model.layers.0.self_attn.q_proj.weight")
    assert (source, name) != plain.locate(name)
    checkpoint[name]
    assert read == [
        ("model.safetensors", name),
        ("adapter_model.safetensors", "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"),
        ("adapter_model.safetensors", "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"),
    ]


def test_a_whole_tensor_is_located_in_the_adapter_and_keeps_its_dtype(tmp_path):
    base, adapter, _ = saved(tmp_path, bert(), torch.bfloat16, target_modules=ATTENTION, task_type="SEQ_CLS")
    checkpoint = open_checkpoint(adapter, base)
    source, name = checkpoint.locate("classifier.weight")
    assert source.path == adapter / "adapter_model.safetensors"
    assert name == "base_model.model.classifier.weight"
    assert checkpoint.spec("classifier.weight").dtype == torch.bfloat16


@pytest.mark.parametrize("case", ["llama, DoRA", "gpt2", "convolutions", "bert, whole classifier"])
def test_a_buffer_that_is_used_again_holds_the_values(tmp_path, case):
    make, settings = CASES[case]
    base, adapter, _ = saved(tmp_path, make(), torch.float32, **settings)
    checkpoint, buffer = open_checkpoint(adapter, base), torch.full((1 << 14,), 255, dtype=torch.uint8)
    for name in checkpoint:
        held = checkpoint.read(name, buffer)
        assert torch.equal(held, checkpoint[name])
        assert held.data_ptr() == buffer.data_ptr()
        held.fill_(7)


def test_a_base_in_memory_stays_as_it_is(tmp_path):
    base, adapter, expected = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    params = {name: open_checkpoint(base)[name] for name in open_checkpoint(base)}
    before = {name: tensor.clone() for name, tensor in params.items()}
    require_equal(open_checkpoint(adapter, params), expected, 1e-6)
    assert all(torch.equal(params[name], before[name]) for name in before)


def test_an_adapter_in_a_pickle_and_one_given_as_a_file_are_opened(tmp_path):
    base, adapter, expected = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    require_equal(open_checkpoint(adapter / "adapter_model.safetensors", base), expected, 1e-6)
    torch.save(load_file(adapter / "adapter_model.safetensors"), adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    require_equal(open_checkpoint(adapter, base), expected, 1e-6)


def test_names_that_still_hold_the_adapter_and_wrappers_are_understood(tmp_path):
    base, adapter, expected = saved(
        tmp_path, gpt2(), torch.float32, target_modules=["wpe", "c_attn"], use_dora=True
    )

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


def test_the_base_that_the_adapter_names_is_used_when_it_is_on_this_machine(tmp_path):
    base, adapter, expected = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    edited(adapter, base_model_name_or_path=str(base))
    require_equal(open_checkpoint(adapter), expected, 1e-6)
    edited(adapter, base_model_name_or_path="../base")
    require_equal(open_checkpoint(adapter), expected, 1e-6)
    for absent in ("meta-llama/Llama-2-7b", None, str(adapter)):
        text = message_of(edited(adapter, base_model_name_or_path=absent))
        assert "give the base too" in text
        assert absent is None or repr(absent) in text


def test_side_files_are_those_of_the_adapter_and_what_it_lacks_from_the_base(tmp_path):
    base, adapter, _ = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    (adapter / "tokenizer.json").write_text("{}")
    (base / "tokenizer.json").write_text("{}")
    files = open_checkpoint(adapter, base).side_files
    assert adapter / "tokenizer.json" in files
    assert base / "config.json" in files
    assert base / "tokenizer.json" not in files
    assert not any(file.name in ("adapter_config.json", "README.md") for file in files)


def test_a_base_is_ignored_for_what_is_not_an_adapter(tmp_path):
    base, _, _ = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    assert open_checkpoint(base, tmp_path / "nothing").source == base


def test_an_adapter_travels_to_another_process_and_notices_changed_files(tmp_path):
    base, adapter, expected = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    checkpoint = pickle.loads(pickle.dumps(open_checkpoint(adapter, base)))
    require_equal(checkpoint, expected, 1e-6)
    source, name = checkpoint.locate("model.layers.0.self_attn.q_proj.weight")
    source.require_unchanged()
    for path in (adapter / "adapter_model.safetensors", base / "model.safetensors"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        with pytest.raises(StorageError, match="was replaced"):
            source.require_unchanged()
        checkpoint = open_checkpoint(adapter, base)
        source, name = checkpoint.locate(name)


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
        ({"alpha_pattern": {"(": 1}}, "not a regular expression"),
    ],
)
def test_an_option_that_cannot_be_applied_is_refused_by_name(pair, changes, expected):
    base, adapter = pair
    text = message_of(edited(adapter, **changes), base)
    assert expected in text


def test_every_option_that_peft_has_is_applied_harmless_or_refused():
    from paretomerge.checkpoints.adapter_config import APPLIED, REFUSED, WITHOUT_EFFECT

    known = {*APPLIED, *REFUSED, *WITHOUT_EFFECT}
    assert {field for field in peft.LoraConfig().to_dict()} <= known


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t | {"base_model.model.extra.weight": torch.zeros(2)}, "neither a LoRA matrix"),
        (lambda t: {k: v for k, v in t.items() if k != FIRST}, "only one of the matrices"),
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
