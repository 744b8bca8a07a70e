"""Posteriors survive the disk, of every family, and their provenance with them."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.checkpoints.posteriors.examples import MEAN, POSTERIORS, description, diagonal, kronecker, low_rank, subspace

from paretomerge.checkpoints import (
    load_curvature,
    load_posterior,
    open_checkpoint,
    read_provenance,
    save_posterior,
    write_params,
)
from paretomerge.checkpoints.files import safetensors_files
from paretomerge.errors import CheckpointError, PosteriorError, StorageError
from paretomerge.posteriors import Basis, Expanded, Factored, Isotropic, Kronecker, LowRank, Provenance, Subspace


def numbers_of(natural: object) -> dict[str, object]:
    """Every number of a block, so that equal blocks are equal mappings."""
    found: dict[str, object] = {}
    if isinstance(natural, LowRank):
        return {name: [tensor.tolist() for tensor in natural.read(name)] for name in natural.names()}
    for key, value in vars(natural).items():
        found[key] = value.tolist() if isinstance(value, torch.Tensor) else value
    if isinstance(natural, Factored):
        found["factors"] = numbers_of(natural.factors)
    return found


@pytest.mark.parametrize("family", POSTERIORS)
def test_every_family_survives_the_disk(tmp_path, family):
    posterior = POSTERIORS[family]()
    loaded = load_posterior(save_posterior(tmp_path / "deep" / "p.safetensors", posterior))
    assert type(loaded) is type(posterior)
    assert loaded.digest == posterior.digest
    assert loaded.blocks() == posterior.blocks()
    assert list(loaded.specs) == list(posterior.specs)
    loaded.require_same_kind(posterior)
    for block in posterior.blocks() if family != "mixture" else ():
        assert numbers_of(loaded.natural(block)) == numbers_of(posterior.natural(block))
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


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The tensors that were read from files, in their order."""
    found: list[str] = []
    original = safetensors_files.SafetensorsFile.read
    monkeypatch.setattr(
        safetensors_files.SafetensorsFile,
        "read",
        lambda self, name, buffer=None: found.append(name) or original(self, name, buffer),
    )
    return found


def test_loading_a_diagonal_reads_no_values(tmp_path, read):
    posterior = load_posterior(save_posterior(tmp_path / "p.safetensors", diagonal()))
    assert read == []
    posterior.natural("w")
    assert sorted(read) == ["mean/w", "precision/w"]


def test_a_kronecker_posterior_is_read_layer_by_layer(tmp_path, read):
    posterior = load_posterior(save_posterior(tmp_path / "p.safetensors", kronecker()))
    assert posterior.blocks() == ("fc", "emb", "conv")
    assert posterior.names("fc") == ("fc.weight", "fc.bias")
    posterior.require_same_kind(posterior)
    again = posterior.map_params(lambda params: params)
    assert read == []
    again.natural("fc")
    assert sorted(read) == [
        "eigenvalues/fc.weight",
        "inputs/fc.weight",
        "mean/fc.bias",
        "mean/fc.weight",
        "outputs/fc.weight",
    ]
    read.clear()
    posterior.natural("emb")
    assert sorted(read) == ["eigenvalues/emb.weight", "mean/emb.weight"]


def test_a_low_rank_posterior_is_read_tensor_by_tensor(tmp_path, read):
    posterior = load_posterior(save_posterior(tmp_path / "p.safetensors", low_rank()))
    natural = posterior.natural("all")
    assert read == []
    natural.read("b")
    assert sorted(read) == ["diagonal/b", "factors/b", "mean/b"]


def test_a_kronecker_posterior_read_from_a_file_is_saved_again(tmp_path):
    first = load_posterior(save_posterior(tmp_path / "p.safetensors", kronecker()))
    second = load_posterior(save_posterior(tmp_path / "q.safetensors", first))
    assert (tmp_path / "p.safetensors").read_bytes() == (tmp_path / "q.safetensors").read_bytes()
    assert isinstance(second, Kronecker)
    assert second.digest == kronecker().digest


def test_views_of_a_stored_kronecker_posterior_are_used_for_everything_it_reads(tmp_path):
    """As a merge on an accelerator does: mean, bases and eigenvalues all come through the view."""
    posterior = load_posterior(save_posterior(tmp_path / "p.safetensors", kronecker()))

    class Doubled(dict):
        def __init__(self, params):
            super().__init__({name: 2 * params[name] for name in params})

    viewed, plain = posterior.map_params(Doubled), kronecker()
    found, expected = viewed.natural("fc"), plain.natural("fc")
    assert torch.equal(found.mean, 2 * expected.mean)
    for name in ("inputs", "outputs", "eigenvalues"):
        assert torch.equal(getattr(found.factors, name), 2 * getattr(expected.factors, name))


def test_an_expansion_survives_and_is_told_from_a_posterior(tmp_path):
    held = diagonal()
    mean = {name: tensor for name, tensor in held.mean.items() if tensor.is_floating_point()}
    path = save_posterior(tmp_path / "p.safetensors", Expanded(held, mean, {name: 2 * t for name, t in mean.items()}))
    found = load_curvature(path)
    assert isinstance(found, Expanded)
    assert torch.equal(found.anchor["w"], 2 * MEAN["w"])
    assert torch.equal(found.slope["w"], MEAN["w"])
    assert found.digest == Expanded(held, mean, {name: 2 * t for name, t in mean.items()}).digest
    with pytest.raises(PosteriorError, match="which is a posterior only with damping"):
        load_posterior(path)


PROVENANCE = Provenance(
    "true fisher",
    "segment",
    200,
    damping=0.25,
    offset=1 / 3,
    base="b" * 64,
    checkpoint="c" * 64,
    version="0.1",
    settings="FitDiagonal()",
)


def test_provenance_survives_to_the_last_bit(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", diagonal(), PROVENANCE)
    assert read_provenance(path) == PROVENANCE
    assert load_posterior(path).digest == diagonal().digest


def test_the_version_of_the_tool_is_filled_in(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", diagonal(), Provenance())
    found = read_provenance(path)
    assert found is not None
    assert found.version == importlib.metadata.version("paretomerge")


def test_a_file_without_provenance_says_nothing(tmp_path):
    """As those of the version that knew none."""
    path = save_posterior(tmp_path / "p.safetensors", diagonal())
    assert read_provenance(path) is None
    assert list(description(path)) == ["version", "posterior"]


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
