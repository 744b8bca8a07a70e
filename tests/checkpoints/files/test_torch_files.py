"""State dicts as training scripts really save them: wrapped, nested, tied, old, and never executed."""

from __future__ import annotations

import argparse
import collections
import enum
import json
import os
import pathlib
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from paretomerge.checkpoints import open_checkpoint
from paretomerge.checkpoints.files.torch_files import open_torch_file
from paretomerge.errors import CheckpointError, StorageError

TENSORS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.tensor([1.5, -2.0])}
RXNFP = Path(tempfile.gettempdir(), "rxnfp", "rxnfp", "models", "transformers")
NO_RXNFP = "rxnfp 0.1.0 from PyPI is not unpacked in <temporary folder>/rxnfp"


class AttributeDict(dict):
    """A subclass of `dict`, as Lightning keeps hyper-parameters in."""


class Schedule(enum.Enum):
    COSINE = "cosine"


class Settings:
    """An object with a state."""

    def __init__(self) -> None:
        self.rate = 0.1


class Harmful:
    """Its unpickling would call a function."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


def same(one, other) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in other)


def written(path: Path, content: object, **options) -> Path:
    torch.save(content, path, **options)
    return path


def message_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    return str(caught.value)


def lightning(state_dict=TENSORS) -> dict:
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": collections.OrderedDict(state_dict),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 3}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.3), "dirpath": pathlib.Path("a/b")},
            AttributeDict: {"stopped_epoch": 0},
        },
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2, 3)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [{"last_epoch": 3, "best": np.float64(0.2)}],
        "hparams_name": "kwargs",
        "hyper_parameters": AttributeDict(
            args=argparse.Namespace(rate=0.1, path=pathlib.Path("/data")),
            nested=AttributeDict(schedule=Schedule.COSINE),
            counts=collections.defaultdict(list, {"a": [1]}),
            settings=Settings(),
            activation=nn.functional.gelu,
            array=np.arange(3),
        ),
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_lightning_checkpoint_gives_its_state_dict_whatever_lies_beside_it(tmp_path, zipped):
    content = lightning()
    if zipped:  # the older format keeps the source code of a module beside it, which torch does not read at all
        content["hyper_parameters"]["loss"] = nn.CrossEntropyLoss()
    path = written(tmp_path / "last.ckpt", content, _use_new_zipfile_serialization=zipped)
    before = set(torch.serialization.get_safe_globals())
    assert same(open_checkpoint(path), TENSORS)
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_lies_beside_the_weights_is_not_executed(tmp_path, zipped):
    witness = tmp_path / "executed"
    content = lightning() | {"hook": Harmful(open, str(witness), "w"), "other": Harmful(eval, "1 / 0")}
    path = written(tmp_path / "x.ckpt", content, _use_new_zipfile_serialization=zipped)
    assert same(open_checkpoint(path), TENSORS)
    content["hook"] = Harmful(Path.touch, witness)  # a method: torch calls no result of a call
    assert "it was not executed" in message_of(written(path, content, _use_new_zipfile_serialization=zipped))
    assert not witness.exists()


@pytest.mark.parametrize("function", [os.system, os.remove])
def test_modules_that_torch_blocks_stay_blocked(tmp_path, function):
    path = written(tmp_path / "x.ckpt", lightning() | {"hook": Harmful(function, "nothing")})
    assert "it was not executed" in message_of(path)


def test_an_object_among_the_weights_is_refused_by_its_name(tmp_path):
    for content in (TENSORS | {"x": Settings()}, lightning(TENSORS | {"x": Settings()}), Settings()):
        text = message_of(written(tmp_path / "x.pt", content))
        assert "Settings, not only tensors" in text
        assert "it was not executed" in text
    assert "Settings, not only tensors" in message_of(written(tmp_path / "x.pt", TENSORS | {"x": Settings}))


def test_a_file_with_too_many_unknown_names_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("paretomerge.checkpoints.files.torch_pickles.MOST_STAND_INS", 3)
    assert "it was not executed" in message_of(written(tmp_path / "x.ckpt", lightning()))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: {"model": t, "optimizer": {"state": {}, "param_groups": []}, "epoch": 3},
        lambda t: {"model_state_dict": t, "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(1)}}}},
        lambda t: {"module": t, "ds_version": "0.16", "param_shapes": [{"layer.weight": torch.Size([2, 3])}]},
        lambda t: {"net": t, "acc": torch.tensor(0.9)},
        lambda t: {"params_ema": t},
        lambda t: {"state": {"model": t, "rank_zero_seed": 1}, "rng": []},
        lambda t: {"model": {"state_dict": t}},
        lambda t: {"state_dict": {name: nn.Parameter(tensor) for name, tensor in t.items()}},
        AttributeDict,
    ],
)
def test_a_state_dict_under_a_usual_key_is_found(tmp_path, wrap):
    checkpoint = open_checkpoint(written(tmp_path / "x.pt", wrap(TENSORS)))
    assert same(checkpoint, TENSORS)
    assert not any(checkpoint[name].requires_grad for name in checkpoint)


def test_a_model_and_its_average_are_ambiguous_and_both_are_named(tmp_path):
    text = message_of(written(tmp_path / "x.pt", {"state_dict": TENSORS, "ema": {"state_dict": TENSORS}}))
    assert "several state dicts (state_dict, ema.state_dict)" in text
    assert "['state_dict']" in text


def test_an_optimizer_is_not_a_model(tmp_path):
    path = written(tmp_path / "x.pt", torch.optim.AdamW(nn.Linear(2, 2).parameters()).state_dict())
    assert "no state dict found: it holds 'state', 'param_groups'" in message_of(path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_of_wrappers_are_removed_when_every_name_has_them(tmp_path, prefix):
    wrapped = {prefix + name: tensor for name, tensor in TENSORS.items()}
    assert same(open_checkpoint(written(tmp_path / "x.pt", wrapped)), TENSORS)


def test_words_of_wrappers_inside_names_are_removed(tmp_path):
    inside = {"_fsdp_wrapped_module.layer._checkpoint_wrapped_module.weight": TENSORS["layer.weight"]}
    inside["layer._orig_mod.bias"] = TENSORS["layer.bias"]
    assert same(open_checkpoint(written(tmp_path / "x.pt", inside)), TENSORS)


def test_a_prefix_that_some_names_lack_or_that_would_join_two_names_stays(tmp_path):
    for names in (("module.a", "b"), ("module.a", "module"), ("_orig_mod.a", "a")):
        tensors = {name: torch.tensor(float(number)) for number, name in enumerate(names)}
        assert set(open_checkpoint(written(tmp_path / "x.pt", tensors))) == set(names)


def test_a_shard_keeps_the_names_of_the_index(tmp_path):
    written(tmp_path / "1.bin", {"module.a": torch.zeros(1)})
    written(tmp_path / "2.bin", {"b": torch.ones(1)})
    index = {"weight_map": {"module.a": "1.bin", "b": "2.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    checkpoint = open_checkpoint(tmp_path)
    assert set(checkpoint) == {"module.a", "b"}
    assert set(pickle.loads(pickle.dumps(checkpoint))) == {"module.a", "b"}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_two_names_of_one_tensor_are_located_at_one_place(tmp_path, zipped):
    shared, pool = torch.randn(4, 3), torch.arange(12.0)
    content = {
        "embedding": shared,
        "head": shared,
        "parameter": nn.Parameter(shared),
        "transposed": shared.T,
        "first": pool[:6],
        "last": pool[6:],
        "again": pool[:6],
        "shaped": pool[:6].reshape(2, 3),
        "empty": torch.zeros(0),
        "nothing": torch.zeros(0, 2),
    }
    checkpoint = open_checkpoint(written(tmp_path / "x.pt", content, _use_new_zipfile_serialization=zipped))
    first = {name: checkpoint.locate(name)[1] for name in content}
    assert first == {name: name for name in content} | {"head": "embedding", "again": "first"} | {
        "parameter": "embedding"
    }
    for name, tensor in content.items():
        source, inner = checkpoint.locate(name)
        assert torch.equal(source.read(inner), tensor)


def test_views_are_read_contiguous_with_their_own_values(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    views = {"rows": whole[1:3], "columns": whole[:, 1::2], "turned": whole.T, "one": whole[2, 3]}
    checkpoint = open_checkpoint(written(tmp_path / "x.pt", views))
    buffer = torch.zeros(96, dtype=torch.uint8)
    for name, expected in views.items():
        for read in (checkpoint.read(name), checkpoint.read(name, buffer)):
            assert torch.equal(read, expected)
            assert read.is_contiguous()
        assert checkpoint.read(name, buffer).data_ptr() == buffer.data_ptr()


def test_opening_reads_names_not_values(tmp_path):
    path = written(tmp_path / "x.pt", {f"w{number}": torch.zeros(1 << 16) for number in range(8)})
    before = _resident()
    checkpoint = open_checkpoint(path)
    assert _resident() - before < 1 << 20
    assert float(checkpoint["w7"].sum()) == 0


def _resident() -> int:
    """Bytes of the file mappings and memory of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if not Path("/proc/self/statm").exists():
    test_opening_reads_names_not_values = pytest.mark.skip(reason="needs /proc")(test_opening_reads_names_not_values)


def test_a_file_that_changed_after_opening_is_noticed(tmp_path):
    path = written(tmp_path / "x.pt", TENSORS)
    source = open_torch_file(path)
    source.require_unchanged()
    travelling = pickle.dumps(source)
    assert torch.equal(pickle.loads(travelling).read("layer.bias"), TENSORS["layer.bias"])
    path.unlink()
    written(path, {name: tensor + 1 for name, tensor in TENSORS.items()})
    for act in (source.require_unchanged, lambda: source.read("layer.bias"), lambda: pickle.loads(travelling)):
        with pytest.raises(StorageError, match="was replaced since it was opened"):
            act()
    path.unlink()
    with pytest.raises(StorageError, match="cannot read"):
        source.read("layer.bias")


def test_a_zip_file_with_a_broken_end_is_explained(tmp_path):
    path = written(tmp_path / "x.pt", TENSORS)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x06\x07") + 16] = 9  # the number of disks
    path.write_bytes(content)
    assert "truncated" in message_of(path)


def test_a_distributed_tensor_is_refused_with_the_way_out(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise pickle.UnpicklingError("``torch.distributed.tensor`` must be imported to load DTensors")

    path = written(tmp_path / "x.pt", TENSORS)
    monkeypatch.setattr(torch, "load", refuse)
    assert "full_state_dict=True" in message_of(path)


@pytest.mark.skipif(not RXNFP.is_dir(), reason=NO_RXNFP)
@pytest.mark.parametrize(("folder", "tied"), [("bert_ft", 0), ("bert_ft_10k_25s", 0), ("bert_pretrained", 1)])
def test_pickled_models_of_others_are_opened(folder, tied):
    checkpoint = open_checkpoint(RXNFP / folder)
    (name,) = (name for name in checkpoint if name.endswith("embeddings.word_embeddings.weight"))
    assert checkpoint.spec(name).shape[1] == 256
    assert sum(checkpoint.locate(name)[1] != name for name in checkpoint) == tied
    assert all(torch.isfinite(checkpoint[name]).all() for name in checkpoint)


@pytest.mark.skipif(not RXNFP.is_dir(), reason=NO_RXNFP)
def test_a_file_of_training_arguments_is_refused():
    assert "argparse.Namespace" in message_of(RXNFP / "bert_ft_10k_25s" / "training_args.bin")
