"""What `check` says of files of posteriors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.checkpoints.posteriors.examples import POSTERIORS, changed
from tests.stages.merging.test_posterior_inputs import BASE, ORIGIN, diagonal, save

from paretomerge.checkpoints import save_posterior, write_params
from paretomerge.errors import AlignmentError, CheckpointError, InputError, PosteriorError
from paretomerge.posteriors import Diagonal, Isotropic, Product
from paretomerge.stages import check_posteriors, describe_posterior


@pytest.mark.parametrize(
    ("family", "blocks", "parameters"),
    [
        ("isotropic", 2, 4),
        ("diagonal", 2, 4),
        ("kronecker", 3, 26),
        ("low_rank", 1, 3),
        ("dense", 1, 3),
        ("subspace", 1, 3),
        ("product", 5, 11),
        ("mixture", 3, 26),
    ],
)
def test_every_family_is_described(tmp_path, family, blocks, parameters):
    path = save_posterior(tmp_path / "p.safetensors", POSTERIORS[family](), ORIGIN)
    found = describe_posterior(path)
    assert (found.family, found.blocks, found.parameters) == (family, blocks, parameters)
    assert found.nbytes == path.stat().st_size
    assert found.provenance is not None
    assert found.provenance.route == "true fisher"
    assert found.precision is not None
    assert 0 <= found.precision.lowest <= found.precision.mean <= found.precision.highest
    json.dumps(found.as_dict())


def test_ranges_are_those_of_the_diagonal_of_the_precision(tmp_path):
    whole = describe_posterior(save_posterior(tmp_path / "d.safetensors", POSTERIORS["diagonal"]())).precision
    assert (whole.lowest, whole.highest, whole.zeros, whole.entries) == (0.0, 2.5, 1, 3)
    assert whole.mean == pytest.approx((2.5 + 1e-3) / 3, rel=1e-6)
    ranked = describe_posterior(save_posterior(tmp_path / "r.safetensors", POSTERIORS["low_rank"]())).precision
    # 0.5 + 1², 2.5 + 2² + 1², 1e-3 + ½² + 4²
    assert (ranked.lowest, ranked.highest) == (1.5, pytest.approx(16.251))
    both = Product(
        {"x": Isotropic({"w": torch.ones(1)}, 3.0), "y": Diagonal({"v": torch.ones(1)}, {"v": torch.ones(1)})}
    )
    found = describe_posterior(save_posterior(tmp_path / "p.safetensors", both)).precision
    assert (found.lowest, found.highest, found.entries) == (1.0, 3.0, 2)


def test_values_are_read_only_on_request_and_a_negative_one_is_found(tmp_path):
    path = changed(
        save_posterior(tmp_path / "p.safetensors", diagonal()), tensors={"precision/b": torch.tensor([-1.0, 1])}
    )
    assert describe_posterior(path, values=False).precision is None
    with pytest.raises(PosteriorError, match=r"the precision of 'b' in .*p\.safetensors is negative"):
        describe_posterior(path)


def test_a_checkpoint_is_no_posterior(tmp_path):
    with pytest.raises(CheckpointError, match="holds tensors but no posterior"):
        describe_posterior(write_params(tmp_path / "m", BASE) / "model.safetensors")


def test_files_are_checked_against_the_base_and_each_other(tmp_path):
    base = write_params(tmp_path / "base", BASE)
    found = check_posteriors(base, save(tmp_path, ORIGIN, None))
    assert [file.task for file in found.files] == ["a", "b"]
    assert [finding.kind for finding in found.warnings] == ["provenance"]
    other = write_params(tmp_path / "other", {name: tensor + 1 for name, tensor in BASE.items()})
    with pytest.raises(AlignmentError, match="was fitted on the base 'org/base'"):
        check_posteriors(other, save(tmp_path, ORIGIN, ORIGIN))
    with pytest.raises(InputError, match="give at least one --task"):
        check_posteriors(base, {})


def test_what_is_said_of_files_goes_into_json(tmp_path: Path):
    base = write_params(tmp_path / "base", BASE)
    content = json.loads(json.dumps(check_posteriors(base, save(tmp_path, ORIGIN, ORIGIN)).as_dict()))
    assert content["ok"] is True
    assert content["warnings"] == []
    assert [file["provenance"]["base"] for file in content["files"]] == [ORIGIN.base] * 2
