"""Opening checkpoints: every kind of source, lazily, and every broken one with a message that helps."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.files import safetensors_files as reading
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import TensorSpec, digest_params

TENSORS = {
    "layer.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "layer.bias": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "steps": torch.tensor(7),
    "none": torch.zeros(0, 3),
}


def same(one, other) -> bool:
    return set(one) == set(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in other
    )


def folder_with(path: Path, **files: bytes) -> Path:
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def whole(tmp_path):
    folder = tmp_path / "whole"
    folder.mkdir()
    save_file(TENSORS, folder / "model.safetensors")
    return folder


@pytest.fixture
def sharded(tmp_path):
    folder = tmp_path / "sharded"
    folder.mkdir()
    names = list(TENSORS)
    weight_map = {}
    for number, part in enumerate((names[:1], names[1:]), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: TENSORS[name] for name in part}, folder / file)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def message_of(source) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(source)
    return str(caught.value)


def test_a_folder_with_one_file_is_opened(whole):
    checkpoint = open_checkpoint(str(whole))
    assert same(checkpoint, TENSORS)
    assert checkpoint.source == whole


def test_a_sharded_folder_and_its_index_are_opened(sharded):
    assert same(open_checkpoint(sharded), TENSORS)
    assert same(open_checkpoint(sharded / "model.safetensors.index.json"), TENSORS)


def test_a_single_safetensors_file_is_opened(whole):
    assert same(open_checkpoint(whole / "model.safetensors"), TENSORS)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pytorch_state_dict_is_opened(tmp_path, suffix, wrapper, zipped):
    path = tmp_path / f"weights{suffix}"
    content = {wrapper: TENSORS, "epoch": 3} if wrapper else TENSORS
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert same(open_checkpoint(path), TENSORS)


def test_a_pytorch_folder_whole_or_sharded_is_opened(tmp_path):
    whole = folder_with(tmp_path / "whole")
    torch.save(TENSORS, whole / "pytorch_model.bin")
    sharded = folder_with(tmp_path / "sharded")
    torch.save(TENSORS, sharded / "part.bin")
    index = json.dumps({"weight_map": dict.fromkeys(TENSORS, "part.bin")})
    (sharded / "pytorch_model.bin.index.json").write_text(index)
    assert same(open_checkpoint(whole), TENSORS)
    assert same(open_checkpoint(sharded), TENSORS)


def test_a_mapping_a_module_and_a_checkpoint_are_opened():
    module = nn.Linear(3, 2)
    checkpoint = open_checkpoint(module)
    assert same(checkpoint, module.state_dict())
    assert not checkpoint["weight"].requires_grad
    assert checkpoint.source is None
    assert checkpoint.side_files == ()
    assert same(open_checkpoint(TENSORS), TENSORS)
    assert open_checkpoint(checkpoint) is checkpoint


def test_tied_weights_of_a_module_are_located_at_one_place():
    module = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False), nn.Linear(3, 4, bias=False))
    module[1].weight = module[0].weight
    checkpoint = open_checkpoint(module)
    assert checkpoint.locate("1.weight") == checkpoint.locate("0.weight")
    assert checkpoint.locate("2.weight") != checkpoint.locate("0.weight")
    halves = open_checkpoint(
        {"all": torch.zeros(4), "first": torch.zeros(4)[:2], "a": torch.zeros(0), "b": torch.zeros(0)}
    )
    assert [halves.locate(name)[1] for name in halves] == list(halves)


def test_a_tensor_not_asked_for_is_not_read(sharded, monkeypatch):
    read = []
    original = reading.SafetensorsFile.read
    monkeypatch.setattr(
        reading.SafetensorsFile,
        "read",
        lambda self, name, buffer=None: read.append(name) or original(self, name, buffer),
    )
    checkpoint = open_checkpoint(sharded)
    assert checkpoint.spec("layer.weight") == TensorSpec((2, 3), torch.float32)
    assert "layer.bias" in checkpoint
    assert len(checkpoint) == 4
    assert list(checkpoint) == list(checkpoint.keys())
    repr(checkpoint)
    assert read == []
    checkpoint["layer.bias"]
    assert read == ["layer.bias"]


def test_a_changed_tensor_does_not_change_the_file(whole):
    checkpoint = open_checkpoint(whole)
    checkpoint["layer.weight"].zero_()
    assert torch.equal(checkpoint["layer.weight"], TENSORS["layer.weight"])


def test_an_unknown_name_is_a_key_error_and_get_gives_the_default(whole):
    checkpoint = open_checkpoint(whole)
    assert checkpoint.get("nothing") is None
    with pytest.raises(KeyError):
        checkpoint["nothing"]


def test_the_digest_is_that_of_the_contents_wherever_they_are(whole, sharded, tmp_path):
    torch.save(TENSORS, tmp_path / "w.pt")
    expected = digest_params(TENSORS)
    for source in (whole, sharded, tmp_path / "w.pt", TENSORS):
        assert open_checkpoint(source).digest == expected
    assert open_checkpoint(TENSORS | {"steps": torch.tensor(8)}).digest != expected


def test_the_digest_is_computed_once(whole):
    checkpoint = open_checkpoint(whole)
    first = checkpoint.digest
    (whole / "model.safetensors").unlink()
    assert checkpoint.digest == first


@pytest.mark.parametrize("kind", ["whole", "torch", "memory"])
def test_a_checkpoint_travels_to_another_process(whole, tmp_path, kind):
    torch.save(TENSORS, tmp_path / "w.pt")
    source = {"whole": whole, "torch": tmp_path / "w.pt", "memory": TENSORS}[kind]
    assert same(pickle.loads(pickle.dumps(open_checkpoint(source))), TENSORS)


def test_side_files_are_the_small_files_that_are_not_weights(whole):
    for name in ("config.json", "tokenizer.json", "vocab.txt", "LICENSE"):
        (whole / name).write_text("{}")
    for name in ("README.md", "optimizer.pt", "training_args.bin", "paretomerge.json", ".gitattributes", "tf_model.h5"):
        (whole / name).write_text("{}")
    (whole / "folder").mkdir()
    names = [file.name for file in open_checkpoint(whole).side_files]
    assert names == ["LICENSE", "config.json", "tokenizer.json", "vocab.txt"]
    assert open_checkpoint(whole / "model.safetensors").side_files == ()


def test_a_missing_path_names_the_nearest_existing_one(whole):
    assert f"{str(whole)!r}" in message_of(whole.parent / "whoel")
    assert "model.safetensors" in message_of(whole / "model.safetensor")
    assert "Nothing is downloaded" in message_of(whole.parent / "qqq" / "zzz-model")


def test_an_empty_folder_and_one_without_weights_are_told_apart(tmp_path):
    empty = folder_with(tmp_path / "empty")
    assert "the folder is empty" in message_of(empty)
    other = folder_with(tmp_path / "other", **{"notes.txt": b"", "weights.safetensors": b""})
    text = message_of(other)
    assert "notes.txt, weights.safetensors" in text
    assert "Give the file itself" in text


def test_shards_without_an_index_are_named(sharded):
    (sharded / "model.safetensors.index.json").unlink()
    assert "no index" in message_of(sharded)


def test_an_adapter_of_an_unknown_kind_is_refused_with_the_way_out(whole):
    (whole / "adapter_config.json").write_text("{}")
    assert "if you mean the adapter" in message_of(whole)
    (whole / "model.safetensors").rename(whole / "adapter_model.safetensors")
    for source in (whole, whole / "adapter_model.safetensors"):
        assert "merge_and_unload" in message_of(source)


@pytest.mark.parametrize("keep", [0, 5, 20, -1])
def test_a_truncated_safetensors_file_gives_both_sizes(whole, keep):
    path = whole / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:keep])
    text = message_of(whole)
    assert "truncated" in text
    assert f"the file has {len(content[:keep])}" in text
    if keep == -1:
        assert f"expected {len(content)} bytes" in text


def header(fields: object, data: bytes = b"") -> bytes:
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return len(text).to_bytes(8, "little") + text + data


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (header(b"not json", b""), "header is not JSON"),
        (header(b"[" * 100_000, b""), "header is not JSON"),
        (header([1, 2]), "JSON list, not an object"),
        (b"\xff" * 40, "header would be"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (header({"w": {"dtype": "F32"}}), "lacks a dtype, shape or offsets"),
        (header({"w": ONE | {"shape": [-1]}}, bytes(4)), "lacks a dtype, shape or offsets"),
        (header({"w": ONE | {"dtype": "F4"}}, bytes(4)), "dtype 'F4', which cannot be read"),
        (header({"w": ONE | {"shape": [2]}}, bytes(4)), "8 bytes, but 4 are reserved"),
        (header({"w": ONE | {"data_offsets": [4, 8]}}, bytes(8)), "a hole or an overlap"),
        (header({"w": ONE, "v": ONE}, bytes(4)), "a hole or an overlap"),
        (header({"w": ONE}, bytes(9)), "not a sound safetensors file: expected"),
        (header({"w": ONE, "__metadata__": {"a": 1}}, bytes(4)), "metadata is not"),
        (header({}), "holds no tensors"),
    ],
)
def test_a_garbage_header_is_explained(tmp_path, content, expected):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    text = message_of(path)
    assert expected in text
    assert str(path) in text


@pytest.mark.parametrize(
    "shard", ["../x.safetensors", "/etc/x.safetensors", "a\\b", "..", "", "c:x", "d/x.safetensors"]
)
def test_an_index_that_leaves_its_folder_is_refused(sharded, shard):
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": shard}}))
    assert "may leave the folder" in message_of(sharded)


def test_an_index_that_names_a_missing_shard_lists_what_is_there(sharded):
    (sharded / "model-00002-of-00002.safetensors").unlink()
    text = message_of(sharded)
    assert "'model-00002-of-00002.safetensors', which is missing" in text
    assert "model-00001-of-00002.safetensors" in text


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"w": 1}}'])
def test_a_broken_index_is_explained(sharded, content):
    (sharded / "model.safetensors.index.json").write_text(content)
    assert "not an index" in message_of(sharded)


def test_an_empty_index_is_explained(sharded):
    (sharded / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    assert "has no tensors" in message_of(sharded)


def test_an_index_that_disagrees_with_its_shards_is_refused(sharded):
    index = sharded / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": weight_map | {"other": weight_map["steps"]}}))
    assert "but it is not" in message_of(sharded)
    index.write_text(json.dumps({"weight_map": {k: v for k, v in weight_map.items() if k != "steps"}}))
    assert "does not place there" in message_of(sharded)


class Marker:
    """Its unpickling would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_executed(tmp_path, zipped):
    path, witness = tmp_path / "x.pt", tmp_path / "executed"
    torch.save({"w": torch.zeros(1), "m": Marker(witness)}, path, _use_new_zipfile_serialization=zipped)
    text = message_of(path)
    assert "it was not executed" in text
    assert "state_dict()" in text
    assert not witness.exists()


def test_a_pickled_module_is_refused_by_name(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "x.pt")
    assert "torch.nn.modules.linear.Linear" in message_of(tmp_path / "x.pt")


def test_a_truncated_or_foreign_pytorch_file_is_explained(tmp_path):
    path = tmp_path / "x.pt"
    torch.save(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "truncated" in message_of(path)
    torch.save(TENSORS, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-3])
    assert "cannot be read as a PyTorch file" in message_of(path)
    for content in (b"", b"hello world", b"version https://git-lfs"):
        path.write_bytes(content)
        assert str(path) in message_of(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"epoch": 3, "loss": 0.1}, "it holds 'epoch', 'loss'"),
        ({}, "it holds nothing"),
        ([1, 2], "holds a list"),
        ({"w": torch.zeros(1), "epoch": 3}, "'epoch' is int, not a tensor"),
        ({"state_dict": {}}, "holds no tensors"),
    ],
)
def test_a_pytorch_file_without_a_state_dict_is_explained(tmp_path, content, expected):
    torch.save(content, tmp_path / "x.pt")
    assert expected in message_of(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({}, "holds no tensors"),
        ({"w": 3.0}, "'w' is float, not a tensor"),
        ({3: torch.zeros(1)}, "names must be text"),
        ({"w": torch.zeros(2, 2).to_sparse()}, "sparse"),
        ({"w": torch.zeros(1, device="meta")}, "meta device"),
        (nn.ReLU(), "the module ReLU holds no tensors"),
        (3, "cannot open a int"),
    ],
)
def test_impossible_parameters_in_memory_are_refused(source, expected):
    assert expected in message_of(source)


def test_an_unknown_kind_of_file_is_refused(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"")
    assert "unknown kind of file '.h5'" in message_of(tmp_path / "x.h5")


def test_a_file_replaced_after_opening_is_not_read_with_old_offsets(whole):
    checkpoint = open_checkpoint(whole)
    save_file({"steps": torch.tensor(1)}, whole / "model.safetensors")
    with pytest.raises(StorageError, match="was replaced since it was opened"):
        checkpoint["steps"]


def test_a_file_that_vanished_is_a_storage_error(whole):
    checkpoint = open_checkpoint(whole)
    (whole / "model.safetensors").unlink()
    with pytest.raises(StorageError, match="cannot read"):
        checkpoint["steps"]
