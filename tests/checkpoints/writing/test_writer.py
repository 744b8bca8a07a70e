"""A checkpoint that is being written: what other readers see of it, and what a failure leaves."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from paretomerge.checkpoints import MANIFEST, CheckpointWriter, atomic, open_checkpoint, write_params
from paretomerge.checkpoints.atomic import temporary_beside
from paretomerge.checkpoints.writing import tensor_writer
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import TensorSpec, spec_of

PARAMS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(3),
    "c": torch.ones(5, dtype=torch.float16),
    "d": torch.zeros(0, 2),
    "e": torch.arange(7.0).bfloat16(),
}
SPECS = {name: spec_of(PARAMS, name) for name in PARAMS}


def write_all(writer, params=PARAMS, names=PARAMS):
    for name in names:
        writer.write(name, params[name])


def holds(folder, params=PARAMS):
    opened = open_checkpoint(folder)
    return list(opened) == list(params) and all(torch.equal(opened[name], params[name]) for name in params)


def dead_process():
    """The number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("limit", [1, 20, 10**6])
@pytest.mark.parametrize("order", [list(PARAMS), list(PARAMS)[::-1], ["c", "a", "e", "d", "b"]])
def test_the_reference_implementation_reads_every_shard(tmp_path, order, limit):
    with CheckpointWriter(tmp_path / "out", SPECS, max_shard_bytes=limit, metadata={"by": "test"}) as writer:
        write_all(writer, names=order)
        writer.commit()
    found = {}
    for file in (tmp_path / "out").glob("*.safetensors"):
        with safe_open(file, "pt") as held:
            assert held.metadata() == {"format": "pt", "by": "test"}
            found |= {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
        assert set(load_file(file)) <= set(PARAMS)
    assert set(found) == set(PARAMS)
    for name, tensor in found.items():
        assert tensor.dtype == PARAMS[name].dtype
        assert torch.equal(tensor, PARAMS[name])


def test_transformers_loads_a_sharded_checkpoint(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=11,
        max_position_embeddings=8,
    )  # fmt: skip
    model = transformers.BertModel(config)
    params = {name: tensor.clone() for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    config.save_pretrained(tmp_path / "side")
    specs = {name: spec_of(params, name) for name in params}
    files = [tmp_path / "side" / "config.json"]
    with CheckpointWriter(tmp_path / "out", specs, side_files=files, max_shard_bytes=1000) as writer:
        write_all(writer, params, params)
        writer.commit()
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 3
    assert index["metadata"]["total_size"] == sum(tensor.numel() * 4 for tensor in params.values())
    loaded = transformers.BertModel.from_pretrained(tmp_path / "out")
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in params.items())


class Flipped:
    """`_write_all` that flips one byte of the call of that number, on its way to the disk."""

    def __init__(self, at, place=0):
        self.at, self.place, self.calls, self.write = at, place, 0, tensor_writer._write_all

    def __call__(self, handle, values):
        if self.calls == self.at:
            values = bytearray(values)
            values[self.place] ^= 1
            values = memoryview(values)
        self.calls += 1
        self.write(handle, values)


# the first call writes the header, the next the tensors
@pytest.mark.parametrize(("at", "place", "what"), [(1, 0, "'a'"), (1, 23, "'a'"), (2, 7, "'b'"), (5, 13, "'e'")])
def test_a_flipped_byte_on_the_disk_is_found_before_the_checkpoint_has_its_name(tmp_path, monkeypatch, at, place, what):
    monkeypatch.setattr(tensor_writer, "_write_all", Flipped(at, place))
    monkeypatch.setattr(tensor_writer, "PIECE", 5)
    with pytest.raises(StorageError, match=f"out: {what} was read back from model.safetensors with other values than"):
        write_params(tmp_path / "out", PARAMS)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", [0, 8, 30, 60, -1])
def test_a_flipped_byte_in_the_header_is_found_too(tmp_path, monkeypatch, place):
    monkeypatch.setattr(tensor_writer, "_write_all", Flipped(0, place))
    with pytest.raises(StorageError, match=r"the header was read back from model\.safetensors with other values"):
        write_params(tmp_path / "out", PARAMS, metadata={"x": "y"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("change", ["longer", "shorter"])
def test_a_file_of_another_size_is_found(tmp_path, change):
    with CheckpointWriter(tmp_path / "out", SPECS) as writer:
        write_all(writer)
        (file,) = tmp_path.glob(".out.*.partial/model.safetensors")
        os.truncate(file, file.stat().st_size + (1 if change == "longer" else -1))
        with pytest.raises(StorageError, match="read back"):
            writer.commit()
    assert os.listdir(tmp_path) == []


def test_a_tensor_that_is_not_contiguous_is_written_and_verified_as_it_reads(tmp_path):
    """Its checksum is that of the values, not of its memory."""
    params = {"w": torch.arange(6.0).reshape(2, 3).T, "v": torch.arange(8.0)[::2]}
    with CheckpointWriter(tmp_path / "out", {name: spec_of(params, name) for name in params}) as writer:
        write_all(writer, params, params)
        writer.commit()
    assert holds(tmp_path / "out", params)


def test_values_are_rounded_once_into_the_planned_dtype(tmp_path):
    value = 1 + 2**-8 + 2**-40
    with CheckpointWriter(tmp_path / "out", {"w": TensorSpec((1,), torch.bfloat16)}) as writer:
        writer.write("w", torch.tensor([value], dtype=torch.float64))
        writer.commit()
    assert open_checkpoint(tmp_path / "out")["w"].item() == 1 + 2**-7


def test_further_files_lie_beside_the_weights_and_no_index_knows_them(tmp_path):
    own = {"head": torch.ones(3), "bias": torch.zeros(1)}
    with CheckpointWriter(tmp_path / "out", SPECS, max_shard_bytes=20) as writer:
        write_all(writer)
        writer.add_file("private/a.safetensors", own)
        writer.add_file("private/deep/b.safetensors", open_checkpoint({"x": torch.ones(2)}))
        writer.commit({"note": 1})
    assert holds(tmp_path / "out")
    assert holds(tmp_path / "out" / "private" / "a.safetensors", own)
    assert load_file(tmp_path / "out" / "private" / "deep" / "b.safetensors")["x"].tolist() == [1, 1]
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert manifest["note"] == 1
    assert manifest["files"] == {
        str(file.relative_to(tmp_path / "out")): file.stat().st_size
        for file in sorted((tmp_path / "out").rglob("*.safetensors"))
    }
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert list(index["weight_map"]) == list(PARAMS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../x.safetensors", "is not the name of a .safetensors file inside the folder"),
        ("private/../../x.safetensors", "inside the folder"),
        ("/tmp/x.safetensors", "inside the folder"),
        ("private/x.bin", "inside the folder"),
        ("private/.safetensors", "inside the folder"),
        ("model.safetensors", "is the name of a file of this checkpoint already"),
        ("./model.safetensors", "is the name of a file of this checkpoint already"),
        ("private/once.safetensors", "is the name of a file of this checkpoint already"),
    ],
)
def test_a_further_file_takes_no_place_that_is_not_free(tmp_path, name, message):
    with CheckpointWriter(tmp_path / "out", SPECS) as writer:
        write_all(writer)
        writer.add_file("private/once.safetensors", {"x": torch.ones(2)})
        with pytest.raises(CheckpointError, match=message):
            writer.add_file(name, {"x": torch.zeros(2)})
        writer.commit()
    assert holds(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_a_further_file_without_tensors_or_with_a_flipped_byte_is_refused(tmp_path, monkeypatch):
    with CheckpointWriter(tmp_path / "out", SPECS) as writer:
        with pytest.raises(CheckpointError, match="nothing to write"):
            writer.add_file("private/none.safetensors", {})
        monkeypatch.setattr(tensor_writer, "_write_all", Flipped(1))
        with pytest.raises(StorageError, match=r"'x' was read back from a\.safetensors"):
            writer.add_file("private/a.safetensors", {"x": torch.ones(2)})
    assert os.listdir(tmp_path) == []


def test_nothing_has_the_name_before_the_commit_and_the_manifest_is_the_last_file(tmp_path, monkeypatch):
    seen = []
    fsync = os.fsync

    def watch(descriptor):
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        assert not (tmp_path / "out").exists() or place == tmp_path
        seen.append((place.name, sorted(file.name for file in place.parent.iterdir()) if place.is_file() else None))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    (tmp_path / "side").mkdir()
    (tmp_path / "side" / "config.json").write_text("{}")
    files = [tmp_path / "side" / "config.json"]
    with CheckpointWriter(tmp_path / "out", SPECS, side_files=files, texts={"README.md": "x"}) as writer:
        assert os.listdir(tmp_path / "side") == ["config.json"]
        write_all(writer)
        writer.add_file("private/a.safetensors", {"x": torch.ones(2)})
        assert not (tmp_path / "out").exists()
        writer.commit()
        assert (tmp_path / "out").exists()
    names = [name for name, _ in seen]
    assert names[:3] == ["model.safetensors", "a.safetensors", "private"]
    assert names[4:7] == ["config.json", "README.md", MANIFEST]
    assert names[3] == names[7]  # the temporary folder, when it got another folder and at the end
    assert names[7].endswith(".partial")
    assert names[8:] == [tmp_path.name]
    beside = dict(seen)[MANIFEST]
    assert beside == sorted(["README.md", "config.json", "model.safetensors", MANIFEST, "private"])


@pytest.mark.parametrize("missing", list(PARAMS))
def test_a_commit_without_all_tensors_is_refused(tmp_path, missing):
    with CheckpointWriter(tmp_path / "out", SPECS, max_shard_bytes=20) as writer:
        write_all(writer, names=[name for name in PARAMS if name != missing])
        with pytest.raises(
            CheckpointError, match=f"the blocks ended before 1 of 5 tensors came, the first is '{missing}'"
        ):
            writer.commit()
        writer.write(missing, PARAMS[missing])
        writer.commit()
    assert holds(tmp_path / "out")


@pytest.mark.parametrize("step", ["write", "add_file", "commit", "rename"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("replace", [False, True])
def test_an_interrupt_leaves_what_was_there(tmp_path, monkeypatch, step, error, replace):
    old = {"old": torch.ones(2)}
    if replace:
        write_params(tmp_path / "out", old)

    rename = os.rename

    def interrupt(*given, **named):
        raise error

    def interrupted_at_the_new_one(source, target):
        if Path(source).suffix == ".partial":
            raise error
        rename(source, target)

    def attempt():
        with CheckpointWriter(tmp_path / "out", SPECS, overwrite=replace) as writer:
            writer.write("a", PARAMS["a"])
            if step == "write":
                monkeypatch.setattr(tensor_writer, "_write_all", interrupt)
            write_all(writer, names=list(PARAMS)[1:])
            if step == "add_file":
                monkeypatch.setattr(tensor_writer, "_write_all", interrupt)
            writer.add_file("private/a.safetensors", {"x": torch.ones(2)})
            if step == "commit":
                monkeypatch.setattr(Path, "write_text", interrupt)
            if step == "rename":
                monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)  # a disk that cannot
                monkeypatch.setattr(os, "rename", interrupted_at_the_new_one)
            writer.commit()

    with pytest.raises(error):
        attempt()
    monkeypatch.undo()
    assert os.listdir(tmp_path) == (["out"] if replace else [])
    assert not replace or holds(tmp_path / "out", old)


def test_folders_that_were_made_for_it_go_with_it(tmp_path):
    (tmp_path / "mine").mkdir()
    with (
        pytest.raises(KeyError),
        CheckpointWriter(tmp_path / "mine" / "new" / "deep" / "1", SPECS),
        CheckpointWriter(tmp_path / "mine" / "new" / "deep" / "2", SPECS),
    ):
        raise KeyError
    assert os.listdir(tmp_path) == ["mine"]
    assert os.listdir(tmp_path / "mine") == []
    with CheckpointWriter(tmp_path / "new" / "1", SPECS) as writer:
        write_all(writer)
        writer.commit()
    assert holds(tmp_path / "new" / "1")


def test_a_disk_that_is_too_small_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    side = tmp_path / "config.json"
    side.write_text("x" * 500)
    writer = CheckpointWriter(tmp_path / "new" / "out", SPECS, side_files=[side])
    assert writer.nbytes > 500 + 24 + 8 + 10 + 14
    for free in (0, writer.nbytes - 1):
        monkeypatch.setattr("paretomerge.checkpoints.writing.writer.free_bytes", lambda path, free=free: free)
        with pytest.raises(StorageError, match=r"0\.00 GB are needed, 0\.00 GB are free: make room, or choose"), writer:
            raise AssertionError("it was entered")
        assert os.listdir(tmp_path) == ["config.json"]
    monkeypatch.setattr("paretomerge.checkpoints.writing.writer.free_bytes", lambda path: writer.nbytes)
    with writer:
        write_all(writer)
        writer.commit()
    assert holds(tmp_path / "new" / "out")


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    dead = tmp_path / f".out.0123456789ab-{dead_process()}.partial"
    living = tmp_path / f".out.0123456789ab-{os.getppid()}.partial"
    own = temporary_beside(tmp_path / "out")
    others = tmp_path / f".other.0123456789ab-{dead_process()}.partial"
    odd = tmp_path / ".out.x.partial"
    for folder in (dead, living, own, others, odd):
        folder.mkdir()
        (folder / "model.safetensors").write_text("half")
    file = tmp_path / f".out.ba9876543210-{dead_process()}.partial"
    file.write_text("a file")
    with CheckpointWriter(tmp_path / "out", SPECS) as writer:
        write_all(writer)
        writer.commit()
    assert {path.name for path in tmp_path.iterdir()} == {
        "out", living.name, own.name, others.name, odd.name, file.name
    }  # fmt: skip


@pytest.mark.parametrize("name", ["out[1]", "out*", "o?t", ".out"])
def test_names_that_look_like_patterns_are_names(tmp_path, name):
    pid = dead_process()
    left, other = tmp_path / f".{name}.0-{pid}.partial", tmp_path / f".out1.0-{pid}.partial"
    left.mkdir()
    other.mkdir()
    with CheckpointWriter(tmp_path / name, SPECS) as writer:
        write_all(writer)
        writer.commit()
    assert {path.name for path in tmp_path.iterdir()} == {name, other.name}


def killed_between_the_renames(target):
    """What a process leaves that is killed after it moved the old checkpoint aside."""
    aside = target.with_name(f".{target.name}.0123456789ab-{dead_process()}.replaced")
    target.rename(aside)
    return aside


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_checkpoint_that_a_killed_process_moved_aside_is_put_back(tmp_path, overwrite):
    old = {"old": torch.ones(2)}
    target = write_params(tmp_path / "out", old)
    killed_between_the_renames(target)
    writer = CheckpointWriter(target, SPECS, overwrite=overwrite)
    if not overwrite:
        with pytest.raises(CheckpointError, match="the folder exists and holds 2 files"), writer:
            raise AssertionError("it was entered")
        assert holds(target, old)
    else:
        with pytest.raises(KeyError), writer:
            raise KeyError
        assert holds(target, old)
        with CheckpointWriter(target, SPECS, overwrite=True) as writer:
            write_all(writer)
            writer.commit()
        assert holds(target)
    assert os.listdir(tmp_path) == ["out"]


def test_what_was_replaced_and_not_yet_removed_when_a_process_was_killed_is_removed(tmp_path):
    target = write_params(tmp_path / "out", {"old": torch.ones(2)})
    killed_between_the_renames(target)
    write_params(tmp_path / "new", PARAMS)
    (tmp_path / "new").rename(target)
    with pytest.raises(KeyError), CheckpointWriter(target, SPECS, overwrite=True):
        raise KeyError
    assert holds(target)
    assert os.listdir(tmp_path) == ["out"]


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from paretomerge.checkpoints import atomic, write_params
rename, count = os.rename, 0
atomic._exchange = lambda one, other: False

def killing(source, target):
    global count
    if count == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    rename(source, target)

os.rename = killing
write_params(sys.argv[1], {"new": torch.zeros(3)}, overwrite=True)
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_process_that_is_killed_while_it_replaces_a_checkpoint_loses_nothing(tmp_path, renames):
    """On a disk that cannot exchange two names in one step."""
    old = {"old": torch.ones(2)}
    target = write_params(tmp_path / "out", old)
    done = subprocess.run([sys.executable, "-c", KILLED, str(target), str(renames)], timeout=60, check=False)
    assert done.returncode == -9
    with pytest.raises(KeyError), CheckpointWriter(target, SPECS, overwrite=True):
        raise KeyError
    assert holds(target, old)
    assert os.listdir(tmp_path) == ["out"]


def test_a_target_that_somebody_else_filled_meanwhile_is_not_overwritten(tmp_path):
    with CheckpointWriter(tmp_path / "out", SPECS) as writer:
        write_all(writer)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").write_text("mine")
        with pytest.raises(StorageError, match="cannot write"):
            writer.commit()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(tmp_path / "out") == ["thesis.tex"]


def test_a_write_that_takes_less_than_it_was_given_goes_on(tmp_path, monkeypatch):
    opened = Path.open

    class Short:
        def __init__(self, handle):
            self.handle = handle

        def write(self, values):
            return self.handle.write(values[:5])

        def __getattr__(self, name):
            return getattr(self.handle, name)

    def open_short(path, mode="r", *given, **named):
        handle = opened(path, mode, *given, **named)
        return Short(handle) if mode == "wb" and path.suffix == ".safetensors" else handle

    monkeypatch.setattr(Path, "open", open_short)
    write_params(tmp_path / "out", PARAMS)
    assert holds(tmp_path / "out")


@pytest.mark.parametrize("call", range(4))
def test_a_disk_that_fails_at_any_write_is_said_with_the_target_and_leaves_nothing(tmp_path, monkeypatch, call):
    write, calls = tensor_writer._write_all, []

    def fail(handle, values):
        calls.append(len(values))
        if len(calls) > call:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        write(handle, values)

    monkeypatch.setattr(tensor_writer, "_write_all", fail)
    with pytest.raises(StorageError, match=rf"cannot write {tmp_path / 'out'}: Input/output error \("):
        write_params(tmp_path / "out", PARAMS)
    assert os.listdir(tmp_path) == []


def test_tensors_on_modules_are_written_without_their_gradients(tmp_path):
    model = nn.Linear(2, 2)
    write_params(tmp_path / "out", dict(model.named_parameters()))
    assert torch.equal(open_checkpoint(tmp_path / "out")["weight"], model.weight.detach())


@pytest.mark.parametrize(
    ("given", "planned"),
    [(torch.int64, torch.int32), (torch.int8, torch.int64), (torch.complex128, torch.complex64)],
)
def test_counters_and_complex_numbers_are_converted_where_nothing_is_lost(tmp_path, given, planned):
    with CheckpointWriter(tmp_path / "out", {"n": TensorSpec((3,), planned)}) as writer:
        writer.write("n", torch.tensor([1, -7, 100]).to(given))
        writer.commit()
    found = open_checkpoint(tmp_path / "out")["n"]
    assert torch.equal(found, torch.tensor([1, -7, 100]).to(planned))


@pytest.mark.parametrize(
    ("values", "planned", "message"),
    [
        (torch.tensor([1, 300]), torch.int8, r"holds values up to 300, more than torch\.int8 can hold"),
        (torch.tensor([1, -300]), torch.int8, r"holds values up to 300, more than torch\.int8 can hold"),
        (torch.tensor([1, -1]), torch.uint8, r"more than torch\.uint8 can hold"),
        (torch.tensor([1.0, 2.0]), torch.complex64, r"is torch\.float32, but torch\.complex64 was planned"),
        (torch.tensor([1j, 2.0]), torch.float32, r"is torch\.complex64, but torch\.float32 was planned"),
        (torch.tensor([1j, 1e300], dtype=torch.complex128), torch.complex64, r"more than torch\.complex64 can hold"),
        (torch.tensor([True, False]), torch.float32, r"is torch\.bool, but torch\.float32 was planned"),
    ],
)
def test_what_another_dtype_cannot_hold_is_refused(tmp_path, values, planned, message):
    with (
        CheckpointWriter(tmp_path / "out", {"n": TensorSpec((2,), planned)}) as writer,
        pytest.raises(CheckpointError, match=message),
    ):
        writer.write("n", values)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_no_file_stays_open_after_a_failure(tmp_path):
    def still_open():
        names = [os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                 if os.path.lexists(f"/proc/self/fd/{number}")]  # fmt: skip
        return [name for name in names if str(tmp_path) in name]

    with CheckpointWriter(tmp_path / "out", SPECS, max_shard_bytes=10**6) as writer:
        writer.write("a", PARAMS["a"])
        assert still_open()
    assert not still_open()


def test_what_another_user_s_process_writes_is_not_removed(tmp_path, monkeypatch):
    """Asking after it is not permitted, so it is there."""
    left = tmp_path / f".out.0123456789ab-{dead_process()}.partial"
    left.mkdir()

    def refuse(process, signal):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "kill", refuse)
    write_params(tmp_path / "out", PARAMS)
    assert left.exists()
