from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from paretomerge.checkpoints import read_optimizer_state
from paretomerge.errors import CheckpointError


@pytest.fixture
def state():
    module = nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def message_of(path):
    with pytest.raises(CheckpointError) as caught:
        read_optimizer_state(path)
    return str(caught.value)


@pytest.mark.parametrize("where", ["file", "folder"])
def test_a_state_is_read_as_it_was_written(tmp_path, state, where):
    torch.save(state, tmp_path / "optimizer.pt")
    found = read_optimizer_state(tmp_path / "optimizer.pt" if where == "file" else str(tmp_path))
    assert found["param_groups"] == state["param_groups"]
    for number, entry in state["state"].items():
        assert all(torch.equal(found["state"][number][key], value) for key, value in entry.items())


def test_a_missing_file_says_what_to_give(tmp_path):
    assert "there is no such file: give the optimizer.pt of a checkpoint" in message_of(tmp_path)
    assert "save_only_model" in message_of(tmp_path / "nowhere.pt")


@pytest.mark.parametrize(
    ("name", "writer"), [("latest", "DeepSpeed"), ("optimizer_0", "FSDP"), ("optimizer.bin", "FSDP")]
)
def test_sharded_states_are_refused_by_who_wrote_them(tmp_path, name, writer):
    (tmp_path / name).touch()
    assert f"sharded by {writer} (it holds {name!r})" in message_of(tmp_path)


@pytest.mark.parametrize("content", [{"weight": torch.zeros(2)}, [1], {"state": {}, "param_groups": []}])
def test_other_content_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "optimizer.pt")
    assert "not the state of an optimizer, which has 'state' and 'param_groups'" in message_of(tmp_path)


def test_a_truncated_file_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "optimizer.pt")
    whole = (tmp_path / "optimizer.pt").read_bytes()
    (tmp_path / "optimizer.pt").write_bytes(whole[: len(whole) // 2])
    assert str(tmp_path / "optimizer.pt") in message_of(tmp_path)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


def test_code_in_a_file_is_not_run(tmp_path):
    content = {"state": {0: Bomb()}, "param_groups": [{"params": [0]}]}
    (tmp_path / "optimizer.pt").write_bytes(pickle.dumps(content, protocol=2))
    assert "optimizer.pt" in message_of(tmp_path)
