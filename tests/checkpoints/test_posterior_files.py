"""Posteriors survive the disk, of every family, and broken files say so."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from paretomerge.checkpoints import load_posterior, open_checkpoint, save_posterior, write_params
from paretomerge.checkpoints.files import safetensors_files
from paretomerge.errors import CheckpointError, PosteriorError, StorageError
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    DirectionLabel,
    Isotropic,
    Product,
    Subspace,
)

MEAN = {
    "w": torch.tensor([[1.0, 2.0]], dtype=torch.float64),
    "b": torch.tensor(3.0, dtype=torch.bfloat16),
    "n": torch.tensor([4]),
}
FLOATING = {"b": torch.tensor([3.0]), "w": torch.tensor([[1.0, 2.0]], dtype=torch.float64)}


def subspace() -> Subspace:
    labels = (DirectionLabel("task_vector", "a", "model"), DirectionLabel("gradient", "b", "h.0"), DirectionLabel())
    directions = ({"w": torch.ones(1, 2)}, {"b": torch.ones(1), "w": torch.tensor([[1.0, -1.0]])}, {})
    return Subspace(FLOATING, Basis(directions, labels), torch.eye(3) * 2, torch.tensor([1.0, 2.0, 0.0]))


def diagonal(prefix: str = "") -> Diagonal:
    mean = {prefix + name: tensor for name, tensor in MEAN.items()}
    precision = {prefix + "w": torch.tensor([[0.0, 2.5]]), prefix + "b": torch.tensor(1e-3)}
    return Diagonal(mean, precision)


POSTERIORS = {
    "isotropic": lambda: Isotropic(MEAN, 0.1),
    "diagonal": diagonal,
    "dense": lambda: Dense(FLOATING, torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])),
    "subspace": subspace,
    "product": lambda: Product({"head": subspace(), "body": Product({"x": diagonal("x."), "y": diagonal("y.")})}),
}


@pytest.mark.parametrize("family", POSTERIORS)
def test_every_family_survives_the_disk(tmp_path, family):
    posterior = POSTERIORS[family]()
    loaded = load_posterior(save_posterior(tmp_path / "deep" / "p.safetensors", posterior))
    assert type(loaded) is type(posterior)
    assert loaded.digest == posterior.digest
    assert loaded.blocks() == posterior.blocks()
    assert list(loaded.specs) == list(posterior.specs)
    loaded.require_same_kind(posterior)
    for block in posterior.blocks():
        one, other = loaded.natural(block), posterior.natural(block)
        assert all(torch.equal(vars(one)[key], vars(other)[key]) for key in vars(one))
    assert os.listdir(tmp_path / "deep") == ["p.safetensors"]


def test_labels_of_a_basis_survive(tmp_path):
    loaded = load_posterior(save_posterior(tmp_path / "p.safetensors", subspace()))
    assert loaded.basis.labels == subspace().basis.labels


def test_anchors_of_a_basis_survive_to_the_last_bit(tmp_path):
    """A ridge added after loading pulls where it would have pulled before saving."""
    plain = subspace()
    anchors = {"a": torch.tensor([1 / 3, -0.1, 2e-17], dtype=torch.float64)}
    basis = Basis(plain.basis.directions, plain.basis.labels, anchors)
    posterior = Subspace(plain.origin, basis, plain.precision, plain.precision_mean)
    loaded = load_posterior(save_posterior(tmp_path / "p.safetensors", posterior))
    assert list(loaded.basis.anchors) == ["a"]
    assert torch.equal(loaded.basis.anchor("a"), anchors["a"])
    assert torch.equal(loaded.basis.anchor("b"), posterior.basis.anchor("b"))


@settings(max_examples=30, deadline=None)
@given(
    precision=st.floats(min_value=1e-300, max_value=1e300),
    shape=st.lists(st.integers(0, 3), max_size=3),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_numbers_and_shapes_are_exact(precision, shape, dtype):
    posterior = Isotropic({"w": torch.full(shape, 1 / 3, dtype=dtype)}, precision)
    with tempfile.TemporaryDirectory() as place:
        loaded = load_posterior(save_posterior(Path(place) / "p.safetensors", posterior))
        assert loaded.precision == precision
        assert loaded.digest == posterior.digest


def test_loading_a_diagonal_reads_no_values(tmp_path, monkeypatch):
    path = save_posterior(tmp_path / "p.safetensors", diagonal())
    read = []
    original = safetensors_files.SafetensorsFile.read
    monkeypatch.setattr(
        safetensors_files.SafetensorsFile,
        "read",
        lambda self, name, buffer=None: read.append(name) or original(self, name, buffer),
    )
    posterior = load_posterior(path)
    assert read == []
    posterior.natural("w")
    assert sorted(read) == ["mean/w", "precision/w"]


def test_a_posterior_around_a_checkpoint_is_saved_with_its_values(tmp_path):
    checkpoint = open_checkpoint(write_params(tmp_path / "model", MEAN))
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(checkpoint, 2.0))
    assert load_posterior(path).digest == Isotropic(MEAN, 2.0).digest


def test_a_file_of_that_name_is_replaced(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))
    save_posterior(path, Isotropic(MEAN, 2.0))
    assert load_posterior(path).precision == 2.0


def test_a_posterior_can_be_saved_over_the_file_it_is_read_from(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", diagonal())
    save_posterior(path, load_posterior(path))
    assert load_posterior(path).digest == diagonal().digest


def changed(path: Path, **entries: object) -> Path:
    file = safetensors_files.open_safetensors(path)
    content = json.loads(file.metadata["paretomerge"]) | entries
    save_file({name: file.read(name) for name in file.names}, path, {"paretomerge": json.dumps(content)})
    return path


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"version": 99}, "written in version 99"),
        ({"version": "x"}, "written in version 'x'"),
        ({"posterior": {"family": "horseshoe"}}, "unknown family 'horseshoe'"),
        ({"posterior": {}}, "does not fit its tensors"),
        ({"posterior": 3}, "does not fit its tensors"),
        ({"posterior": {"family": "dense"}}, "does not fit its tensors"),
        ({"posterior": {"family": "product", "parts": [3]}}, "does not fit its tensors"),
    ],
)
def test_a_newer_unknown_or_inconsistent_file_is_explained(tmp_path, entries, expected):
    path = changed(save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0)), **entries)
    with pytest.raises(CheckpointError) as caught:
        load_posterior(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_impossible_values_are_a_posterior_error(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))
    changed(path, posterior={"family": "isotropic", "precision": -1.0})
    with pytest.raises(PosteriorError, match="must be positive"):
        load_posterior(path)


def test_a_truncated_missing_or_other_file_is_explained(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        load_posterior(path)
    with pytest.raises(CheckpointError, match="no such file"):
        load_posterior(tmp_path / "q.safetensors")
    save_file({"w": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="holds tensors but no posterior"):
        load_posterior(path)
    save_file({"w": torch.zeros(1)}, path, {"paretomerge": "{"})
    with pytest.raises(CheckpointError, match="not readable"):
        load_posterior(path)


def test_an_unknown_family_and_another_suffix_are_refused(tmp_path):
    class Horseshoe:
        family = "horseshoe"

    with pytest.raises(PosteriorError, match="'horseshoe' cannot be saved"):
        save_posterior(tmp_path / "p.safetensors", Horseshoe())
    with pytest.raises(CheckpointError, match="give that suffix"):
        save_posterior(tmp_path / "p.pt", diagonal())
    assert os.listdir(tmp_path) == []


def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        save_posterior(path, Isotropic(MEAN, 2.0))
    assert load_posterior(path).precision == 1.0
    assert os.listdir(tmp_path) == ["p.safetensors"]
