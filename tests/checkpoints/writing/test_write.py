"""Writing checkpoints: complete under the final name, or not there at all."""

from __future__ import annotations

import errno
import json
import os
import resource
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from paretomerge.checkpoints import MANIFEST, atomic, open_checkpoint, write_checkpoint, write_params
from paretomerge.checkpoints.files.safetensors_files import open_safetensors
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import TensorSpec, spec_of

PARAMS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.ones(5, dtype=torch.float16)}
DTYPES = [
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.float8_e4m3fn),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint64),
]


def specs_of(params) -> dict[str, TensorSpec]:
    return {name: spec_of(params, name) for name in params}


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@st.composite
def parameters(draw):
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
    params = {}
    for name in names:
        if name == "__metadata__":
            continue
        shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
        dtype = draw(st.sampled_from(DTYPES))
        count = TensorSpec(shape, dtype).numel * dtype.itemsize
        raw = draw(st.binary(min_size=count, max_size=count))
        if dtype == torch.bool:
            raw = bytes(byte & 1 for byte in raw)
        flat = torch.tensor(list(raw), dtype=torch.uint8)
        params[name] = flat.view(dtype).reshape(shape)
    return params


@settings(max_examples=60, deadline=None)
@given(params=parameters(), max_shard_bytes=st.sampled_from([1, 16, 64, 10_000]))
def test_what_is_written_is_read_again_bit_for_bit(params, max_shard_bytes):
    with tempfile.TemporaryDirectory() as place:
        folder = write_params(Path(place) / "out", params, max_shard_bytes=max_shard_bytes)
        checkpoint = open_checkpoint(folder)
        assert list(checkpoint) == list(params)
        for name, tensor in params.items():
            assert checkpoint.spec(name) == TensorSpec(tuple(tensor.shape), tensor.dtype)
            assert bits(checkpoint[name]) == bits(tensor)
        others = {}
        for file in folder.glob("*.safetensors"):  # the reference implementation reads the same
            others |= load_file(file)
        assert {name: bits(tensor) for name, tensor in others.items()} == {k: bits(v) for k, v in params.items()}


def test_a_non_contiguous_tensor_is_written_as_it_reads(tmp_path):
    tensor = torch.arange(6.0).reshape(2, 3).T
    folder = write_params(tmp_path / "out", {"w": tensor})
    assert torch.equal(open_checkpoint(folder)["w"], tensor)


def test_values_are_converted_to_the_planned_dtype(tmp_path):
    specs = {"w": TensorSpec((2,), torch.bfloat16)}
    folder = write_checkpoint(tmp_path / "out", specs, [("w", torch.tensor([1.0, 1 / 3], dtype=torch.float64))])
    assert torch.equal(open_checkpoint(folder)["w"], torch.tensor([1.0, 1 / 3]).to(torch.bfloat16))


def test_every_tensor_starts_at_a_multiple_of_its_element_size(tmp_path):
    params = {
        "flag": torch.ones(1, dtype=torch.bool),
        "w": torch.ones(3),
        "n": torch.tensor(3),
        "h": torch.ones(1).half(),
    }
    folder = write_params(tmp_path / "out", params)
    entries = open_safetensors(folder / "model.safetensors").entries
    assert list(entries) == list(params)
    assert all(entry.start % entry.spec.dtype.itemsize == 0 for entry in entries.values())


def test_shards_respect_the_limit_and_the_index_finds_everything(tmp_path):
    params = {f"w{i}": torch.full((10,), float(i)) for i in range(5)} | {"big": torch.zeros(100)}
    folder = write_params(tmp_path / "out", params, max_shard_bytes=80)
    files = sorted(file.name for file in folder.glob("*.safetensors"))
    assert files == [f"model-{i:05d}-of-00004.safetensors" for i in range(1, 5)]
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 5 * 40 + 400
    assert index["weight_map"]["big"] == files[-1]
    assert torch.equal(open_checkpoint(folder)["w3"], params["w3"])


def test_blocks_may_come_in_any_order(tmp_path):
    blocks = list(PARAMS.items())[::-1]
    folder = write_checkpoint(tmp_path / "out", specs_of(PARAMS), blocks, max_shard_bytes=10)
    checkpoint = open_checkpoint(folder)
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in PARAMS.items())


def test_one_block_at_a_time_is_held(tmp_path):
    alive = []

    def blocks():
        for name, tensor in PARAMS.items():
            alive.append(name)
            yield name, tensor.clone()
            if name == "a":  # the block before is on its way to the disk when the next is asked for
                temporary = next(tmp_path.glob(".out.*.partial"))
                assert (temporary / "model-00001-of-00003.safetensors").stat().st_size > 24

    write_checkpoint(tmp_path / "out", specs_of(PARAMS), blocks(), max_shard_bytes=10)
    assert alive == list(PARAMS)


def test_metadata_side_files_texts_and_manifest_are_written(tmp_path):
    side = tmp_path / "config.json"
    side.write_text("{}")
    folder = write_checkpoint(
        tmp_path / "deep" / "out",
        specs_of(PARAMS),
        PARAMS.items(),
        side_files=[side],
        texts={"README.md": "# card\n"},
        metadata={"made": "here"},
        manifest={"method": "linear"},
    )
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "made": "here"}
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["method"] == "linear"
    assert manifest["files"] == {"model.safetensors": (folder / "model.safetensors").stat().st_size}
    assert (folder / "README.md").read_text() == "# card\n"
    assert (folder / "config.json").read_text() == "{}"
    assert os.listdir(tmp_path / "deep") == ["out"]


def test_the_manifest_is_written_last(tmp_path, monkeypatch):
    order = []
    original = atomic.os.fsync

    def fsync(descriptor):
        order.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        original(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", fsync)
    write_checkpoint(tmp_path / "out", specs_of(PARAMS), PARAMS.items(), texts={"README.md": "x"})
    assert order[:3] == ["model.safetensors", "README.md", MANIFEST]
    assert order[3].endswith(".partial")
    assert order[4] == tmp_path.name


def refused(tmp_path, error=CheckpointError, **changes) -> str:
    arguments = {"specs": specs_of(PARAMS), "blocks": PARAMS.items()} | changes
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error) as caught:
        write_checkpoint(tmp_path / "out", **arguments)
    assert sorted(os.listdir(tmp_path)) == before, "something was left behind"
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"specs": {}}, "nothing to write"),
        ({"specs": {"__metadata__": TensorSpec((1,), torch.float32)}}, "reserves that name"),
        ({"specs": {"w": TensorSpec((1,), torch.complex128)}}, "torch.complex128, which safetensors cannot hold"),
        ({"max_shard_bytes": 0}, "at least 1"),
        ({"blocks": [("a", PARAMS["a"])]}, "ended before 2 of 3 tensors came, the first is 'b'"),
        ({"blocks": [("z", PARAMS["a"])]}, "'z' is not among the planned"),
        ({"blocks": [("a", PARAMS["a"])] * 2}, "'a' came twice"),
        ({"blocks": [("a", PARAMS["a"].T)]}, "shape [3, 2], but [2, 3] was planned"),
        ({"blocks": [("a", 3)]}, "is int, not a tensor"),
        ({"blocks": [("b", torch.tensor(2.5))]}, "torch.float32, but torch.int64 was planned"),
        ({"blocks": [("c", torch.full((5,), 1e6))]}, "'c' holds values up to 1e+06, more than torch.float16"),
        ({"manifest": {"x": float("nan")}}, "manifest cannot be written as JSON"),
        ({"manifest": {"x": object()}}, "manifest cannot be written as JSON"),
        ({"metadata": {"x": 3}}, "metadata must be text to text"),
        ({"side_files": [Path("/nowhere/config.json")]}, "is missing"),
        ({"texts": {"model.safetensors": "x"}}, "name of a file"),
        ({"texts": {"../x": "x"}}, "plain file name"),
    ],
)
def test_impossible_requests_are_refused_and_leave_nothing(tmp_path, changes, expected):
    assert expected in refused(tmp_path, **changes)


def test_a_side_file_with_the_name_of_a_written_file_is_refused(tmp_path):
    side = tmp_path / "side"
    side.mkdir()
    (side / MANIFEST).write_text("{}")
    assert "leave it out" in refused(tmp_path, side_files=[side / MANIFEST])


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, StorageError])
def test_an_interrupted_write_leaves_nothing(tmp_path, failure):
    def blocks():
        yield "a", PARAMS["a"]
        raise failure("stop")

    assert "stop" in refused(tmp_path, error=failure, blocks=blocks())


@pytest.mark.parametrize("call", range(5))
def test_a_disk_without_space_at_any_fsync_leaves_nothing(tmp_path, monkeypatch, call):
    calls = []
    original = os.fsync

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    side = tmp_path / "config.json"
    side.write_text("{}")
    if call == 4:  # only the last one, of the parent folder, comes after the rename
        with pytest.raises(StorageError):
            write_checkpoint(tmp_path / "out", specs_of(PARAMS), PARAMS.items(), side_files=[side])
        assert list(open_checkpoint(tmp_path / "out")) == list(PARAMS)
        return
    text = refused(tmp_path, error=StorageError, side_files=[side])
    assert str(tmp_path / "out") in text
    assert "No space left on device" in text
    assert "GB free" in text


def test_a_write_that_the_system_refuses_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    params = {"w": torch.zeros(100_000)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        text = refused(tmp_path, error=StorageError, specs=specs_of(params), blocks=params.items())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path / "out") in text
    assert "File too large" in text


def test_a_disk_known_to_be_too_small_is_refused_before_any_block_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr("paretomerge.checkpoints.writing.writer.free_bytes", lambda path: 10)

    def blocks():
        raise AssertionError("a block was computed")
        yield

    assert "are needed" in refused(tmp_path, error=StorageError, blocks=blocks())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_a_storage_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refused(tmp_path, error=StorageError)
    finally:
        tmp_path.chmod(0o700)


def test_a_parent_that_is_a_file_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        write_params(tmp_path / "file" / "out", PARAMS)


def test_an_existing_folder_with_files_is_refused_and_untouched(tmp_path):
    write_params(tmp_path / "out", PARAMS)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert "choose another folder, or ask to overwrite it" in refused(tmp_path)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


def test_an_existing_empty_folder_is_filled(tmp_path):
    (tmp_path / "out").mkdir()
    assert list(open_checkpoint(write_params(tmp_path / "out", PARAMS))) == list(PARAMS)
    assert os.listdir(tmp_path) == ["out"]


def test_overwriting_swaps_the_whole_folder(tmp_path):
    write_params(tmp_path / "out", PARAMS, max_shard_bytes=10)
    write_params(tmp_path / "out", {"new": torch.ones(2)}, overwrite=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["model.safetensors", MANIFEST]
    assert list(open_checkpoint(tmp_path / "out")) == ["new"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_checkpoint_can_be_rewritten_from_itself(tmp_path):
    source = open_checkpoint(write_params(tmp_path / "out", PARAMS))
    write_checkpoint(tmp_path / "out", specs_of(source), ((n, source[n] * 2) for n in source), overwrite=True)
    assert torch.equal(open_checkpoint(tmp_path / "out")["a"], PARAMS["a"] * 2)


def test_a_failed_overwrite_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    write_params(tmp_path / "out", PARAMS)
    original = os.rename

    def rename(source, target):
        if Path(target).name == "out" and (Path(source) / MANIFEST).exists() and len(calls) == 1:
            calls.append("failed")
            raise OSError(errno.EIO, "Input/output error")
        calls.append(target)
        original(source, target)

    calls: list[object] = []
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)  # a disk that cannot exchange names
    monkeypatch.setattr(os, "rename", rename)
    text = refused(tmp_path, error=StorageError, overwrite=True, specs={"z": TensorSpec((1,), torch.float32)},
                   blocks=[("z", torch.ones(1))])  # fmt: skip
    assert "failed" in calls
    assert "Input/output error" in text
    assert list(open_checkpoint(tmp_path / "out")) == list(PARAMS)


def test_a_folder_that_is_no_checkpoint_is_never_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert "it holds no checkpoint" in refused(tmp_path, overwrite=True)


def test_a_file_or_link_of_that_name_is_never_replaced(tmp_path):
    (tmp_path / "out").write_text("mine")
    assert "a file or link of this name exists" in refused(tmp_path, overwrite=True)
    (tmp_path / "out").unlink()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    assert "a file or link of this name exists" in refused(tmp_path, overwrite=True)


def test_the_inputs_are_not_changed(tmp_path):
    params = {name: tensor.clone() for name, tensor in PARAMS.items()}
    write_params(tmp_path / "out", params)
    assert all(torch.equal(params[name], tensor) for name, tensor in PARAMS.items())
