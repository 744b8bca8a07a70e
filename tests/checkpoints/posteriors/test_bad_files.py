"""A bad posterior file is one clear error: never a traceback of somebody else, never code that is run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tests.checkpoints.posteriors.examples import (
    MEAN,
    POSTERIORS,
    changed,
    description,
    diagonal,
    kronecker,
    low_rank,
)

from paretomerge.checkpoints import holds_posterior, load_posterior, read_provenance, save_posterior
from paretomerge.checkpoints.files.safetensors_files import open_safetensors
from paretomerge.errors import CheckpointError, ParetomergeError, PosteriorError
from paretomerge.posteriors import Isotropic, Posterior, Provenance

NAN, INFINITE = float("nan"), float("inf")
NINES = '{"version": ' + "9" * 5000 + "}"
DEEP = "[" * 100_000 + "]" * 100_000
SUBSPACE = {"family": "subspace", "labels": [], "anchors": {}}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ({"version": 99}, "written in version 99"),
        ({"version": "x"}, "written in version 'x'"),
        ({"version": True}, "written in version True"),
        ({"version": 0}, "written in version 0"),
        ({"posterior": {"family": "horseshoe"}}, "unknown family 'horseshoe'"),
        ({"posterior": {}}, "'family' is missing"),
        ({"posterior": 3}, "expected a mapping with 'family', got int"),
        ({"posterior": {"family": ["dense"]}}, "the family must be text, got list"),
        ({"posterior": {"family": "dense"}}, "the tensor 'precision' is missing"),
        ({"posterior": {"family": "isotropic", "precision": "1"}}, "the precision must be a number, got str"),
        ({"posterior": {"family": "isotropic", "precision": True}}, "the precision must be a number, got bool"),
        ({"posterior": {"family": "isotropic", "precision": float("nan")}}, "the precision must be finite"),
        ({"posterior": {"family": "isotropic", "precision": 10**400}}, "the precision must be finite"),
        ({"posterior": {"family": "product", "parts": [3]}}, "a part must be a list of 2 entries"),
        ({"posterior": {"family": "product", "parts": []}}, "a product without parts"),
        ({"posterior": {"family": "mixture", "components": {}}}, "the components must be a list"),
        ({"posterior": {**SUBSPACE, "labels": [["x", "y"]]}}, "a label must be a list of 3 entries"),
        ({"posterior": {**SUBSPACE, "anchors": [1]}}, "the anchors must be a mapping, got list"),
        ({"posterior": {"family": "kronecker", "layers": [["a", "w", None, 1]]}}, "must be true or false, got int"),
        ({"posterior": {"family": "kronecker", "layers": [["a", "\ud800", None, True]]}}, "is not valid text"),
        ({"posterior": {"family": "kronecker", "layers": [["a", "v", None, True]]}}, "'v' of the layer 'a' is missing"),
    ],
)
def test_a_newer_unknown_or_inconsistent_description_is_explained(tmp_path, entries, expected):
    path = changed(save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0)), **entries)
    with pytest.raises(CheckpointError) as caught:
        load_posterior(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["{", "3", "null", "[]", "{}", '{"version": 1}', DEEP, NINES])
def test_an_unreadable_description_is_explained(tmp_path, text):
    path = tmp_path / "p.safetensors"
    save_file({"w": torch.zeros(1)}, path, {"paretomerge": text})
    for read in (load_posterior, read_provenance):
        with pytest.raises(CheckpointError, match=r"p\.safetensors: not a sound posterior file: .* not readable"):
            read(path)


def test_a_description_nested_without_end_is_explained(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))
    text = '{"version": 1, "posterior": ' + '{"family": "product", "parts": [["x", ' * 300 + "3" + "]]}" * 300 + "}"
    with pytest.raises(CheckpointError, match="not a sound posterior file"):
        load_posterior(changed_text(path, text))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (3, "must be a mapping, got int"),
        ({"route": 3}, "route must be text, got 3"),
        ({"examples": -1}, "examples must be a whole number >= 0, got -1"),
        ({"examples": 1.5}, "examples must be a whole number >= 0, got 1.5"),
        ({"units": "furlongs"}, "unknown units 'furlongs': one of mean, sum, relative"),
        ({"units": ["mean"]}, "unknown units"),
        ({"damping": -1.0}, "damping must be a finite number >= 0, got -1.0"),
        ({"damping": float("inf")}, "damping must be a finite number >= 0, got inf"),
        ({"offset": float("nan")}, "offset must be a finite number, got nan"),
        ({"offset": 10**400}, "offset must be a finite number, got 1000"),
        ({"offset": "x"}, "offset must be a finite number, got 'x'"),
    ],
)
def test_a_provenance_that_cannot_be_meant_is_explained(tmp_path, entries, expected):
    path = changed(save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN)), provenance=entries)
    with pytest.raises(CheckpointError) as caught:
        read_provenance(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_a_newer_version_says_of_its_provenance_is_left_out(tmp_path):
    path = changed(save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN)), provenance={"route": "ivon", "mood": 3})
    assert read_provenance(path) == Provenance("ivon")


def test_impossible_values_are_a_posterior_error(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))
    changed(path, posterior={"family": "isotropic", "precision": -1.0})
    with pytest.raises(PosteriorError, match=r"p\.safetensors: .*must be positive"):
        load_posterior(path)


def test_a_truncated_missing_or_other_file_is_explained(tmp_path):
    path = save_posterior(tmp_path / "p.safetensors", Isotropic(MEAN, 1.0))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        load_posterior(path)
    with pytest.raises(CheckpointError, match=r"no such file \(did you mean 'p\.safetensors'\?\)"):
        load_posterior(tmp_path / "q.safetensors")
    with pytest.raises(CheckpointError, match=r"a folder, not the file of a posterior$"):
        load_posterior(tmp_path)
    path.rename(tmp_path / "posterior.safetensors")
    with pytest.raises(CheckpointError, match=r"a folder, not the file of a posterior: give .*/posterior\.safetensors"):
        load_posterior(tmp_path)
    save_file({"w": torch.zeros(1)}, path)
    assert not holds_posterior(path)
    with pytest.raises(CheckpointError, match="holds tensors but no posterior"):
        load_posterior(path)


def test_a_header_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "p.safetensors"
    path.write_bytes((1 << 40).to_bytes(8, "little") + b"{}")
    with pytest.raises(CheckpointError, match="its header would be 1099511627776 bytes long"):
        load_posterior(path)


@pytest.mark.parametrize(
    ("make", "drop", "tensors", "expected"),
    [
        (diagonal, "precision/w", {}, "no precision for 'w'"),
        (diagonal, "", {"precision/w": torch.ones(2)}, "'w' has mean of shape"),
        (diagonal, "", {"precision/w": torch.ones(1, 2, dtype=torch.int32)}, "a precision is floating-point"),
        (kronecker, "eigenvalues/fc.weight", {}, "the eigenvalues of the layer 'fc' are missing"),
        (kronecker, "", {"eigenvalues/fc.weight": torch.ones(3)}, "expected two dimensions"),
        (kronecker, "", {"eigenvalues/fc.weight": torch.ones(3, 2)}, "do not fit 'fc.weight' of shape"),
        (kronecker, "", {"inputs/fc.weight": torch.eye(2)}, "the factors of the layer 'fc' do not fit"),
        (kronecker, "", {"eigenvalues/emb.weight": torch.ones(5, 2)}, "the factors of the layer 'emb' do not fit"),
        (kronecker, "mean/fc.bias", {}, "'fc.bias' of the layer 'fc' is missing"),
        (kronecker, "", {"mean/more": torch.ones(1)}, "'more' is in no layer"),
        (low_rank, "factors/b", {}, "no factor for 'b'"),
        (low_rank, "", {"diagonal/w": torch.ones(1)}, "the diagonal of 'w' has shape"),
        (POSTERIORS["dense"], "", {"precision": torch.eye(2)}, "expected \\[3, 3\\]"),
        (POSTERIORS["subspace"], "", {"basis/0/w": torch.ones(3)}, "a direction does not fit the tensor 'w'"),
        (POSTERIORS["subspace"], "", {"basis/0/v": torch.ones(3)}, "a direction does not fit the tensor 'v'"),
        (POSTERIORS["subspace"], "precision_mean", {}, "the tensor 'precision_mean' is missing"),
    ],
)
def test_tensors_that_do_not_fit_are_found_when_the_file_is_opened(tmp_path, make, drop, tensors, expected):
    path = changed(save_posterior(tmp_path / "p.safetensors", make()), drop=drop, tensors=tensors)
    with pytest.raises((CheckpointError, PosteriorError), match=expected) as caught:
        load_posterior(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "key", "block", "name", "values"),
    [
        (diagonal, "precision/w", "w", "'w'", [-1.0, NAN, INFINITE]),
        (kronecker, "eigenvalues/fc.weight", "fc", "'fc.weight'", [-1.0, NAN, INFINITE]),
        (kronecker, "inputs/fc.weight", "fc", "'fc.weight'", [NAN, INFINITE]),
        (low_rank, "diagonal/w", "all", "'w'", [-1.0, NAN, INFINITE]),
        (low_rank, "factors/w", "all", "'w'", [NAN, INFINITE]),
    ],
)
def test_impossible_precisions_are_found_when_they_are_read(tmp_path, make, key, block, name, values):
    """The message names the tensor and the file."""
    path = save_posterior(tmp_path / "p.safetensors", make())
    for value in values:
        tensor = open_safetensors(path).read(key)
        tensor.view(-1)[0] = value
        posterior = load_posterior(changed(path, tensors={key: tensor}))
        with pytest.raises(PosteriorError) as caught:
            touch(posterior, block)
        assert name in str(caught.value)
        assert str(path) in str(caught.value)


def touch(posterior: Posterior, block: str) -> None:
    """Read all of a block."""
    natural = posterior.natural(block)
    if hasattr(natural, "read"):
        for name in natural.names():
            natural.read(name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def paths_in(content: Any, path: tuple = ()) -> list[tuple]:
    """Every place in a nested structure."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [path, *(below for key, value in inner for below in paths_in(value, (*path, key)))]


def replaced(content: Any, path: tuple, value: Any) -> Any:
    if not path:
        return value
    copy: Any = dict(content) if isinstance(content, dict) else list(content)
    copy[path[0]] = replaced(content[path[0]], path[1:], value)
    return copy


def read_everything(path: Path) -> None:
    """Open, and read all there is: a `ParetomergeError` is an answer, anything else is not."""
    try:
        read_provenance(path)
        posterior = load_posterior(path)
        for block in posterior.blocks():
            posterior.names(block)
            if posterior.family != "mixture":
                touch(posterior, block)
        posterior.digest  # noqa: B018
    except ParetomergeError as error:
        str(error).encode()


@pytest.mark.parametrize("family", POSTERIORS)
def test_any_other_description_is_an_error_of_ours_or_a_posterior(family):
    with tempfile.TemporaryDirectory() as place:
        path = save_posterior(Path(place) / "p.safetensors", POSTERIORS[family](), Provenance())
        whole = description(path)
        paths = paths_in(whole)

        @settings(max_examples=40, deadline=None)
        @given(st.sampled_from(paths), JSON)
        def check(where, value):
            content = replaced(whole, where, value)
            if isinstance(content, dict):
                read_everything(changed_text(path, json.dumps(content)))

        check()


@pytest.mark.parametrize("family", ["diagonal", "kronecker", "subspace"])
def test_any_other_header_is_an_error_of_ours_or_a_posterior(family):
    """The table of tensors as somebody might have edited it: shapes, dtypes, offsets, names."""
    with tempfile.TemporaryDirectory() as place:
        path = save_posterior(Path(place) / "p.safetensors", POSTERIORS[family]())
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
        values = JSON | st.sampled_from(
            ["F64", "F32", "I32", "F16", "BF16", "U8", "C64", [1, 2], [2], [0, 10**30], [-1]]
        )

        @settings(max_examples=60, deadline=None)
        @given(st.sampled_from(paths_in(header)), values)
        def check(where, value):
            text = json.dumps(replaced(header, where, value)).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + data)
            read_everything(path)

        check()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_other_bytes_are_an_error_of_ours_or_a_posterior(data):
    with tempfile.TemporaryDirectory() as place:
        path = save_posterior(Path(place) / "p.safetensors", diagonal())
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]) if data.draw(st.booleans()) else bytes(raw))
        read_everything(path)


def changed_text(path: Path, text: str) -> Path:
    """The file with another description, its tensors as they were."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"]["paretomerge"] = text
    head = json.dumps(header).encode()
    target = path.with_name("changed.safetensors")
    target.write_bytes(len(head).to_bytes(8, "little") + head + raw[8 + length :])
    return target


def test_saving_and_loading_runs_no_code(tmp_path, monkeypatch):
    """Nothing of pickle is touched on the way."""
    import pickle

    def never(*args, **kwargs):
        raise AssertionError("pickle was used")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, never)
    for family, make in POSTERIORS.items():
        read_everything(save_posterior(tmp_path / f"{family}.safetensors", make()))


def test_a_checkpoint_is_not_saved_as_a_posterior(tmp_path):
    with pytest.raises(PosteriorError, match="dict is no posterior: save one such as Diagonal"):
        save_posterior(tmp_path / "p.safetensors", MEAN)
