"""An adapter folder appears complete or not at all, and is what peft and `open_checkpoint` read."""

from __future__ import annotations

import json
import os

import pytest
import torch

from paretomerge.checkpoints import MANIFEST, open_checkpoint, write_adapter
from paretomerge.errors import CheckpointError, StorageError

BASE = {"layer.weight": torch.zeros(3, 4)}
DOWN, UP = torch.ones(2, 4), torch.full((3, 2), 0.5)
TENSORS = {"base_model.model.layer.lora_A.weight": DOWN, "base_model.model.layer.lora_B.weight": UP}
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["layer"]}


def test_what_is_written_is_read_again(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    folder = write_adapter(
        tmp_path / "out",
        TENSORS,
        CONFIG,
        side_files=[tmp_path / "tokenizer.json"],
        texts={"README.md": "a card"},
        manifest={"kind": "adapter"},
    )
    names = {"adapter_config.json", "adapter_model.safetensors", "README.md", "tokenizer.json", MANIFEST}
    assert {file.name for file in folder.iterdir()} == names
    assert torch.equal(open_checkpoint(folder, BASE)["layer.weight"], 2 * UP @ DOWN)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["kind"] == "adapter"
    assert list(manifest["files"]) == ["adapter_model.safetensors"]


def test_an_existing_folder_is_refused_or_replaced(tmp_path):
    write_adapter(tmp_path / "out", TENSORS, CONFIG)
    with pytest.raises(CheckpointError, match="overwrite"):
        write_adapter(tmp_path / "out", TENSORS, CONFIG)
    write_adapter(tmp_path / "out", TENSORS, {**CONFIG, "lora_alpha": 2}, overwrite=True)
    assert torch.equal(open_checkpoint(tmp_path / "out", BASE)["layer.weight"], UP @ DOWN)


@pytest.mark.parametrize(
    ("tensors", "config", "expected"),
    [
        ({}, CONFIG, "no tensors"),
        (TENSORS, {**CONFIG, "task_type": object()}, "cannot be written as JSON"),
        (TENSORS, {**CONFIG, "lora_dropout": 1e999}, "cannot be written as JSON"),
        (TENSORS, {"peft_type": "IA3"}, "only LORA can be applied"),
        ({"base_model.model.layer.lora_A.weight": DOWN}, CONFIG, "only one of the matrices"),
    ],
)
def test_bad_contents_are_refused(tmp_path, tensors, config, expected):
    with pytest.raises(CheckpointError, match=expected):
        write_adapter(tmp_path / "out", tensors, config)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        write_adapter(tmp_path / "out", TENSORS, CONFIG)
    assert os.listdir(tmp_path) == []
