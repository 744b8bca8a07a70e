"""LoRA adapters on a base: equal to peft's own merge, exact, and read lazily."""

from __future__ import annotations

import pickle
import warnings

import pytest
import torch
from safetensors.torch import load_file

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.files import safetensors_files as reading
from paretomerge.errors import StorageError

peft = pytest.importorskip("peft", reason="the adapters are compared with peft")
pytest.importorskip("transformers", reason="the models are made by transformers")

from tests.checkpoints.tiny_adapters import (  # noqa: E402
    ATTENTION,
    Convolutions,
    adapt,
    bert,
    edited,
    gpt2,
    llama,
    message_of,
    require_equal,
    retensored,
    saved,
)

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
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
        wrapped.save_pretrained(tmp_path / "plain", path_initial_model_for_weight_conversion=str(tmp_path / "initial"))
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


def test_a_float64_adapter_on_a_float32_base_is_float64(tmp_path):
    base, adapter, expected = saved(tmp_path, llama(), torch.float32, target_modules=["q_proj"])
    retensored(adapter, lambda tensors: {name: tensor.double() for name, tensor in tensors.items()})
    name = "model.layers.0.self_attn.q_proj.weight"
    assert open_checkpoint(adapter, base)[name].dtype == torch.float64
    assert open_checkpoint(adapter, base).spec(name).dtype == torch.float64
    require_equal(open_checkpoint(adapter, base), expected, 1e-6)


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
