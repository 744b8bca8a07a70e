"""Fetching a model from the Hugging Face hub, pinned to the commit that was fetched.

This is the only file of the package that may use the network, and only for `download` and `hub://` addresses.
A branch such as `main` moves; what is remembered is the commit it pointed to, so that a run can be repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from paretomerge.errors import CheckpointError, MissingExtraError, StorageError

SCHEME = "hub://"

SMALL_FILES = ("*.json", "*.txt", "*.model", "*.jinja", "tokenizer*", "LICENSE*")
SAFETENSORS = ("model.safetensors", "model-*-of-*.safetensors", "adapter_model.safetensors")
PICKLES = ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "adapter_model.bin")
SUBFOLDERS = ("*/*",)  # other formats and older checkpoints of the same model

_ADDRESS = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubAddress:
    """A model on the hub, and a branch, tag or commit of it (`None`: the main branch).

    >>> str(HubAddress.parse("hub://org/name@v1.0"))
    'hub://org/name@v1.0'
    """

    name: str
    revision: str | None = None

    def __str__(self) -> str:
        """`hub://name@revision`."""
        return f"{SCHEME}{self.name}{'@' + self.revision if self.revision else ''}"

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Read `hub://org/name` or `hub://org/name@revision`.

        Raises:
            CheckpointError: it has another form.
        """
        matched = _ADDRESS.fullmatch(text.removeprefix(SCHEME))
        if matched is None:
            raise CheckpointError(f"{text!r} is not an address on the hub: expected {SCHEME}organisation/name@revision")
        return cls(matched["name"], matched["revision"])


def download(name: str, revision: str | None = None) -> Path:
    """Fetch weights, configuration and tokenizer of a model into the cache of `huggingface_hub`.

    Pickled weights are fetched only if the model has no safetensors. Files in subfolders, code, and weights for
    other frameworks are not fetched. What is in the cache already is not fetched again, and with
    `HF_HUB_OFFLINE=1` nothing is.

    Args:
        name: `organisation/name`.
        revision: a branch, tag or commit; the main branch without it.

    Returns:
        The folder; its name is the commit (see `pinned`).

    Raises:
        CheckpointError: no such model or revision, or it is gated.
        StorageError: the hub cannot be reached and the cache lacks the model, or the disk refused.
        MissingExtraError: `huggingface_hub` is not installed.
    """
    address = HubAddress.parse(f"{SCHEME}{name}{'@' + revision if revision else ''}")
    folder = _fetch(address, (*SMALL_FILES, *SAFETENSORS))
    if not any(file.suffix == ".safetensors" for file in folder.iterdir()):
        commit = _commit_of(folder)  # both halves from one commit, even if the branch moves in between
        folder = _fetch(HubAddress(address.name, commit or address.revision), (*SMALL_FILES, *PICKLES))
    return folder


def pinned(address: HubAddress, folder: Path) -> HubAddress:
    """The address with the commit that `download` fetched into `folder`."""
    return HubAddress(address.name, _commit_of(folder) or address.revision)


def _commit_of(folder: Path) -> str | None:
    return folder.name if _COMMIT.fullmatch(folder.name) else None


def _fetch(address: HubAddress, patterns: tuple[str, ...]) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtraError.of("huggingface_hub", "hf") from error
    try:
        found = huggingface_hub.snapshot_download(
            address.name,
            revision=address.revision,
            allow_patterns=list(patterns),
            ignore_patterns=list(SUBFOLDERS),
        )
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{address}: this model is gated: accept its conditions on its page, log in with  hf auth login , and run "
            "again"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{address}: the model has no such branch, tag or commit") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{address}: there is no such model, or it is private: check the name, or log in with  hf auth login"
        ) from error
    except errors.HFValidationError as error:
        raise CheckpointError(f"{address}: not a name the hub allows: expected {SCHEME}organisation/name") from error
    except errors.LocalEntryNotFoundError as error:
        raise StorageError(
            f"{address}: is not in the cache (or not whole), and the hub was not reached: connect, or unset "
            "HF_HUB_OFFLINE, or copy the model's folder here and give its path"
        ) from error
    # the http library of huggingface_hub is its own choice, and has changed: its errors have no stable names
    except Exception as error:
        raise StorageError(f"{address}: could not be fetched ({type(error).__name__}: {error}): run again") from error
    return Path(found)
