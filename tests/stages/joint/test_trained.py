"""The folder of a trained model: the base's names, complete or not there at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.posteriors import Diagonal, Provenance
from paretomerge.stages.joint.trained import copy_trained, read_manifest, write_trained
from paretomerge.training import Finetuned
from paretomerge.types import Ledger


def _result(params: dict[str, torch.Tensor]) -> Finetuned:
    ones = {name: torch.ones_like(tensor) for name, tensor in params.items()}
    return Finetuned(params, (1.0,), Ledger(), Diagonal(params, ones))


def _write(folder: Path, params: dict[str, torch.Tensor], base: Path) -> Path:
    return write_trained(folder, _result(params), open_checkpoint(base), Provenance("adam"), {"kind": "trained"})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_params(tmp_path / "base", {"embed.weight": torch.arange(6.0).view(3, 2), "out.bias": torch.zeros(3)})


def test_names_that_the_base_lacks_are_left_out_if_they_are_copies(tmp_path: Path, base: Path) -> None:
    """A tied output layer is saved once; statistics that training has collected are kept."""
    embedding = torch.arange(6.0).view(3, 2) + 1
    params = {
        "out.weight": embedding.clone(),
        "statistics": torch.ones(4),
        "out.bias": torch.ones(3),
        "embed.weight": embedding,
    }
    held = open_checkpoint(_write(tmp_path / "trained", params, base))
    assert list(held) == ["embed.weight", "out.bias", "statistics"]
    assert torch.equal(held["embed.weight"], embedding)


def test_a_copy_has_more_in_its_manifest_and_the_same_content(tmp_path: Path, base: Path) -> None:
    source = _write(tmp_path / "trained", {"embed.weight": torch.ones(3, 2), "out.bias": torch.ones(3)}, base)
    target = copy_trained(source, tmp_path / "deeper" / "copy", {"scores": {"test": 1}})
    assert read_manifest(target) == {**read_manifest(source), "scores": {"test": 1}}
    for name in ("model.safetensors", "posterior.safetensors"):
        assert (target / name).read_bytes() == (source / name).read_bytes()


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {"embed.weight": torch.ones(3, 2), "out.bias": torch.ones(3)}
    source = _write(tmp_path / "trained", params, base)
    target = copy_trained(source, tmp_path / "copy", {"number": 1})

    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("paretomerge.stages.joint.trained.sync_file", refuse)
        with pytest.raises(StorageError, match="No space left"):
            copy_trained(source, target, {"number": 2}, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr("paretomerge.stages.joint.trained.save_posterior", refuse)
        with pytest.raises(OSError, match="No space left"):
            _write(tmp_path / "new", params, base)
    assert read_manifest(target)["number"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "copy", "trained"]


def test_what_a_killed_process_left_is_cleaned_up(tmp_path: Path, base: Path) -> None:
    left = tmp_path / ".copy.0123456789ab-999999999.partial"
    (left / "folder").mkdir(parents=True)
    source = _write(tmp_path / "trained", {"embed.weight": torch.ones(3, 2), "out.bias": torch.ones(3)}, base)
    copy_trained(source, tmp_path / "copy", {})
    assert not left.exists()


def test_a_broken_manifest_says_what_to_delete(tmp_path: Path, base: Path) -> None:
    source = _write(tmp_path / "trained", {"embed.weight": torch.ones(3, 2), "out.bias": torch.ones(3)}, base)
    text = (source / "paretomerge.json").read_text()
    assert json.loads(text)["kind"] == "trained"
    (source / "paretomerge.json").write_text(text[:20])
    with pytest.raises(CheckpointError, match=r"trained, and what it held is trained again"):
        copy_trained(source, tmp_path / "copy", {})
