"""Pieces of an unfinished fit come back from the disk exactly, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.checkpoints.posteriors.examples import POSTERIORS

from paretomerge.curvature import Piece
from paretomerge.stages.fitting.unfinished import UnfinishedFit

NUMBERS = {"loss": 1 / 3, "examples": 48.0, "seconds": 1e-9}
TENSORS = {"curvature": torch.eye(2, dtype=torch.float64) / 3, "gradient/a.b": torch.ones(3, dtype=torch.bfloat16)}


def test_numbers_and_tensors_are_exact(tmp_path: Path) -> None:
    store = UnfinishedFit(tmp_path, "k" * 64)
    assert store.get("000 gradient of a/../b") is None
    store.put("000 gradient of a/../b", Piece(NUMBERS, TENSORS))
    found = UnfinishedFit(tmp_path, "k" * 64).get("000 gradient of a/../b")
    assert found is not None
    assert dict(found.numbers) == NUMBERS
    assert list(found.tensors) == list(TENSORS)
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert found.posterior is None
    assert all(path.parent.parent == tmp_path for path in tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("family", POSTERIORS)
def test_posteriors_of_every_family_come_back_without_their_file(tmp_path: Path, family: str) -> None:
    store = UnfinishedFit(tmp_path, "k")
    store.put("000 a", Piece(NUMBERS, {}, POSTERIORS[family]()))
    found = store.get("000 a")
    assert found is not None
    assert found.posterior is not None
    store.discard()
    assert not tmp_path.exists()
    assert found.posterior.digest == POSTERIORS[family]().digest


def test_pieces_of_another_fit_are_not_seen(tmp_path: Path) -> None:
    UnfinishedFit(tmp_path, "one").put("000 a", Piece(NUMBERS, TENSORS))
    assert UnfinishedFit(tmp_path, "two").get("000 a") is None
    assert UnfinishedFit(tmp_path, "one").get("001 a") is None


@pytest.mark.parametrize("keep", [0, 9, -1])
def test_a_broken_piece_is_measured_again(tmp_path: Path, keep: int) -> None:
    store = UnfinishedFit(tmp_path, "k")
    store.put("000 a", Piece(NUMBERS, TENSORS, POSTERIORS["diagonal"]()))
    for path in tmp_path.rglob("*.safetensors"):
        original = path.read_bytes()
        path.write_bytes(original[:keep])
        assert store.get("000 a") is None
        path.write_bytes(original)
    assert store.get("000 a") is not None
