"""Models on the hub: fetched only when asked for, pinned to a commit, and every failure explained. No network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from paretomerge.checkpoints import download, open_checkpoint
from paretomerge.checkpoints.files.hub import HubAddress
from paretomerge.errors import CheckpointError, MissingExtraError, ParetomergeError, StorageError

huggingface_hub = pytest.importorskip("huggingface_hub")

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"
TENSORS = {"w": torch.arange(3.0)}


@pytest.fixture
def cache(tmp_path):
    """A cache as `huggingface_hub` lays it out: files in blobs, links to them in a folder per commit."""
    model = tmp_path / "hub" / "models--org--name"
    blobs, snapshot = model / "blobs", model / "snapshots" / COMMIT
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    save_file(TENSORS, blobs / "weights")
    (blobs / "config").write_text("{}")
    (snapshot / "model.safetensors").symlink_to(blobs / "weights")
    (snapshot / "config.json").symlink_to(blobs / "config")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    return tmp_path / "hub"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """A hub that gives a folder named like a commit, and remembers what it was asked for."""
    calls = []

    def snapshot_download(name, **options):
        calls.append((name, options))
        folder = tmp_path / "models" / COMMIT
        folder.mkdir(parents=True, exist_ok=True)
        if any("safetensors" in pattern for pattern in options["allow_patterns"]):
            save_file(TENSORS, folder / "model.safetensors")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return calls


def failing(monkeypatch, error: Exception) -> None:
    def snapshot_download(*arguments, **options):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)


@pytest.mark.parametrize(
    ("address", "name", "revision"),
    [
        ("hub://org/name", "org/name", None),
        ("hub://org/na-me_1.5@v2.0", "org/na-me_1.5", "v2.0"),
        ("hub://gpt2@refs/pr/3", "gpt2", "refs/pr/3"),
        (Path("hub://org/name@main"), "org/name", "main"),
    ],
)
def test_an_address_is_fetched_at_the_revision_it_names(asked, address, name, revision):
    checkpoint = open_checkpoint(address)
    assert torch.equal(checkpoint["w"], TENSORS["w"])
    assert [(called, options["revision"]) for called, options in asked] == [(name, revision)]


def test_the_commit_is_remembered_instead_of_the_branch(asked):
    checkpoint = open_checkpoint("hub://org/name@main")
    assert checkpoint.revision == COMMIT
    assert checkpoint.address == f"hub://org/name@{COMMIT}"
    assert repr(checkpoint).startswith(f"Checkpoint('hub://org/name@{COMMIT}'")
    assert open_checkpoint({"w": torch.zeros(1)}).revision is None


def test_only_weights_configuration_and_tokenizer_are_fetched(asked):
    from huggingface_hub.utils import filter_repo_objects

    download("org/name")
    ((_, options),) = asked
    wanted = ["model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json"]
    wanted += ["tokenizer.json", "tokenizer.model", "vocab.txt", "merges.txt", "chat_template.jinja", "LICENSE"]
    wanted += ["adapter_config.json", "adapter_model.safetensors", "spiece.model"]
    others = ["pytorch_model.bin", "tf_model.h5", "model.gguf", "onnx/model.safetensors", "modeling_custom.py"]
    others += ["consolidated.safetensors", "flax_model.msgpack", "original/tokenizer.model", "training_args.bin"]
    given = filter_repo_objects(
        wanted + others, allow_patterns=options["allow_patterns"], ignore_patterns=options["ignore_patterns"]
    )
    assert list(given) == wanted


def test_pickles_are_fetched_only_without_safetensors_and_from_the_same_commit(monkeypatch, tmp_path):
    calls = []

    def snapshot_download(name, **options):
        calls.append(options)
        folder = tmp_path / COMMIT
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        if "pytorch_model.bin" in options["allow_patterns"]:
            torch.save(TENSORS, folder / "pytorch_model.bin")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    checkpoint = open_checkpoint("hub://org/name")
    assert torch.equal(checkpoint["w"], TENSORS["w"])
    assert [options["revision"] for options in calls] == [None, COMMIT]
    assert "pytorch_model.bin" not in calls[0]["allow_patterns"]


def test_an_adapter_takes_its_base_from_the_hub(asked, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 1}')
    save_file({"base_model.model.w": torch.ones(3)}, adapter / "adapter_model.safetensors")
    checkpoint = open_checkpoint(adapter, "hub://org/name")
    assert torch.equal(checkpoint["w"], torch.ones(3))
    assert checkpoint.address is None


def test_a_plain_name_is_not_looked_up_and_the_address_is_shown(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="hub://org/some-name"):
        open_checkpoint("org/some-name")
    assert asked == []


@pytest.mark.parametrize("address", ["hub://", "hub://a/b/c", "hub://org/name@", "hub://org/na me", "hub://@main"])
def test_another_form_of_address_is_refused(asked, address):
    with pytest.raises(CheckpointError, match="not an address on the hub"):
        open_checkpoint(address)
    assert asked == []


def test_an_address_is_written_as_it_is_read():
    for text in ("hub://org/name", "hub://org/name@v1", "hub://gpt2@refs/pr/1"):
        assert str(HubAddress.parse(text)) == text


class Response:
    """What the errors of `huggingface_hub` want to see of a server's answer."""

    status_code = 404
    headers: dict = {}
    request = None
    text = ""


def hub_error(name: str) -> Exception:
    kind = getattr(huggingface_hub.errors, name)
    try:
        return kind("reason", response=Response())
    except TypeError:
        return kind("reason")


@pytest.mark.parametrize(
    ("error", "kind", "expected"),
    [
        ("GatedRepoError", CheckpointError, "is gated"),
        ("RepositoryNotFoundError", CheckpointError, "no such model, or it is private"),
        ("RevisionNotFoundError", CheckpointError, "no such branch, tag or commit"),
        ("HFValidationError", CheckpointError, "not a name the hub allows"),
        ("LocalEntryNotFoundError", StorageError, "not in the cache"),
        ("HfHubHTTPError", StorageError, "HfHubHTTPError: reason"),
    ],
)
def test_what_the_hub_refuses_is_explained(monkeypatch, error, kind, expected):
    failing(monkeypatch, hub_error(error))
    with pytest.raises(kind, match=expected) as caught:
        download("org/name", "v1")
    assert "hub://org/name@v1" in str(caught.value)


def test_an_error_of_the_connection_or_the_disk_is_a_storage_error(monkeypatch):
    for error in (OSError("no space left"), RuntimeError("connection reset")):
        failing(monkeypatch, error)
        with pytest.raises(StorageError, match=f"{type(error).__name__}: {error}"):
            download("org/name")


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"paretomerge\[hf\]"):
        open_checkpoint("hub://org/name")


SCRIPT = """
import sys
from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import ParetomergeError
for address in sys.argv[1:]:
    try:
        checkpoint = open_checkpoint(address)
        print(checkpoint.address, float(checkpoint["w"].sum()), [file.name for file in checkpoint.side_files])
    except ParetomergeError as error:
        print(type(error).__name__, error)
"""


def test_the_cache_is_used_without_a_network_and_what_it_lacks_is_explained(cache):
    there = ("hub://org/name", f"hub://org/name@{COMMIT}")
    absent = ("hub://org/other", f"hub://org/name@{OTHER}", "hub://org/name@v9")
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, *there, *absent]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert printed[:2] == [f"hub://org/name@{COMMIT} 3.0 ['config.json']"] * 2
    for address, line in zip(absent, printed[2:], strict=True):
        assert line.startswith(f"StorageError {address}: is not in the cache")
        assert "HF_HUB_OFFLINE" in line


def test_every_error_is_one_of_ours(monkeypatch):
    failing(monkeypatch, ValueError("anything"))
    with pytest.raises(ParetomergeError):
        open_checkpoint("hub://org/name")
