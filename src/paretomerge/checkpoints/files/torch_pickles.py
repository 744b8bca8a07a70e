"""Unpickling a file of `torch.save` without executing anything of it.

A pickle names functions and classes, and unpickling calls them. `torch.load(weights_only=True)` knows the few
that rebuild tensors and containers, and stops at every other. Training checkpoints hold many others beside the
weights: hyper-parameters in an `AttributeDict`, a `Namespace`, paths, scalars of numpy. Allowing those classes
would mean to import and call code that is not ours. Instead each unknown name is bound to an inert stand-in,
through the public `torch.serialization.safe_globals`: the class it names is neither imported nor called, and
what the stand-in builds is empty. The weights come out whole, and what a stand-in has touched is never given
on: `state_dicts` refuses it by its name. Modules that torch blocks (`os`, `sys`) stay blocked.
"""

from __future__ import annotations

import contextlib
import pickle
import re
import tarfile
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.files.pickle_scan import LEGACY_PICKLES, BoundedReader, Scan, scan_pickles
from paretomerge.errors import CheckpointError, ParetomergeError

MOST_STAND_INS = 500  # unknown names in one file; a real training checkpoint has a few dozen

_ONE_AT_A_TIME = threading.Lock()  # the list of safe globals belongs to the whole process

_UNKNOWN = re.compile(r"Unsupported global: GLOBAL ([\w.]+) was not an allowed global")
_FILLED = re.compile(r"Can only SETITEMS? for .*? but got <class '([^']+)'>")
_STRANGE = re.compile(r"(?!(?:torch|collections|builtins|__builtin__|_codecs)\.)\w+(?:\.\w+)+")
_FIRST_NAME = re.compile(r"GLOBAL ([\w.]+)")


class StandIn:
    """What is built where the file names a class or function that is not loaded; `stands_for` is that name."""

    stands_for = "a Python object"

    def __new__(cls, *arguments: object, **options: object) -> Any:
        """Ignore the arguments: nothing is called."""
        return super().__new__(cls)

    def __init__(self, *arguments: object, **options: object) -> None:
        """Ignore the arguments."""

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


class MappingStandIn(StandIn):
    """A stand-in for a subclass of `dict`: it gives a plain ordered dictionary, which unpickling may fill."""

    def __new__(cls, *arguments: object, **options: object) -> Any:
        """An empty dictionary."""
        return OrderedDict()


def load_pickle(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The content of `path`, and the names that stand-ins were used for.

    The values of files in the zip format (PyTorch >= 1.6) are memory-mapped.

    Raises:
        CheckpointError: not a file of `torch.save`, truncated, or with content that no stand-in can replace.
        StorageError: the disk refused to read.
    """
    zipped = _require_whole(path)
    scanned = _scanned(path, zipped)
    stand_ins: dict[str, type[StandIn]] = {}
    while True:
        try:
            allowed: list[Any] = [(found, name) for name, found in stand_ins.items()]
            with _ONE_AT_A_TIME, torch.serialization.safe_globals(allowed):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None), tuple(stand_ins)
        except pickle.UnpicklingError as error:
            if not _learn(stand_ins, str(error)):
                raise _refused(path, str(error), stand_ins) from None
            _learn_all(stand_ins, scanned)
        except OSError:
            with storage_errors(path, "read"):
                raise
        # torch.load has no exception of its own for broken bytes: whatever the pickle machine met comes through
        except Exception as error:
            if stand_ins:
                raise holds_objects(path, next(iter(stand_ins))) from error
            raise CheckpointError(
                f"{path}: cannot be read as a PyTorch file ({type(error).__name__}): it is truncated or something "
                "else; copy it again, or give a .safetensors file"
            ) from error


def holds_objects(path: Path, what: str) -> CheckpointError:
    """The error for a file whose weights cannot be had without running the code of `what`."""
    return CheckpointError(
        f"{path}: holds {what}, not only tensors. Loading it would run code, so it was not executed. If you trust "
        "its author, convert it once where it was made:  "
        "torch.save(torch.load(path, weights_only=False).state_dict(), 'weights.pt')"
    )


def _require_whole(path: Path) -> bool:
    """Whether the file has the zip format; an error if it should have but was cut off."""
    with storage_errors(path, "read"), path.open("rb") as handle:
        start = handle.read(8)
        try:
            zipped = zipfile.is_zipfile(handle)
        except zipfile.BadZipFile:
            zipped = False
    if start.startswith(b"version "):
        raise CheckpointError(f"{path}: this is a Git LFS pointer, not the weights: run `git lfs pull` there")
    if start.startswith(b"PK") and not zipped:
        raise CheckpointError(
            f"{path}: truncated: the end of the file, which lists its content, is missing "
            f"({path.stat().st_size} bytes are there): copy or download it again"
        )
    return zipped


def require_no_bomb(path: Path) -> None:
    """Raise `CheckpointError` for a file that takes more memory than it is long, see `pickle_scan`; loads nothing."""
    _scanned(path, _require_whole(path))


def _scanned(path: Path, zipped: bool) -> Scan:
    """What the file would do; an error if it would take more memory than it is long: compressed, or as it asks for."""
    found = Scan()
    try:
        with storage_errors(path, "read"), path.open("rb") as handle:
            if not zipped:
                _require_no_tar(path)
                scan_pickles(BoundedReader(handle, path.stat().st_size), found, LEGACY_PICKLES)
            else:
                with zipfile.ZipFile(handle) as archive:
                    _require_stored(path, archive)
                    for entry in archive.infolist():
                        if entry.filename.rpartition("/")[2] == "data.pkl":
                            scan_pickles(BoundedReader(archive.open(entry), path.stat().st_size), found)
    except ParetomergeError:
        raise
    # the pickle machine has no exception of its own for broken bytes; `torch.load` meets them too
    except Exception as error:
        raise CheckpointError(
            f"{path}: cannot be read as a PyTorch file ({type(error).__name__}): it is truncated or something "
            "else; copy it again, or give a .safetensors file"
        ) from error
    if found.bomb is not None:
        raise CheckpointError(
            f"{path}: asks for memory by {found.bomb}, which no state dict does, so it was not loaded. Do not use this "
            "file unless you know who made it; then save model.state_dict() again"
        )
    return found


def _require_no_tar(path: Path) -> None:
    """Raise for a tar archive: `torch.load` would unpack it, with the links and pipes that it may hold."""
    with contextlib.suppress(tarfile.TarError, EOFError), tarfile.open(path, "r:"):
        raise CheckpointError(
            f"{path}: is a tar archive, as PyTorch wrote before version 0.2: unpack it if it holds a checkpoint, or "
            "load it with such a version and save it again"
        )


def _require_stored(path: Path, archive: zipfile.ZipFile) -> None:
    for entry in archive.infolist():
        if entry.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(
                f"{path}: its entry {entry.filename!r} is compressed, which torch.save never does: unpack the archive "
                "if it holds a checkpoint, and give that"
            )


def _learn(stand_ins: dict[str, type[StandIn]], message: str) -> bool:
    """Add the stand-in that `message` asks for; `False` if it asks for none, or for one it has already."""
    unknown = _UNKNOWN.search(message)
    if unknown:
        name = unknown.group(1) if "." in unknown.group(1) else f"builtins.{unknown.group(1)}"
        kind: type[StandIn] = StandIn
    else:
        filled = _FILLED.search(message)
        name = filled.group(1).removeprefix(f"{__name__}.") if filled else ""
        kind = MappingStandIn
        if name not in stand_ins:
            return False
    if len(stand_ins) >= MOST_STAND_INS or issubclass(stand_ins.get(name, object), kind):
        return False
    stand_ins[name] = _stand_in(name, kind)
    return True


def _learn_all(stand_ins: dict[str, type[StandIn]], scanned: Scan) -> None:
    """Add stand-ins for all other strange names that the scan saw: each attempt reads the whole pickle again."""
    for name in scanned.names:
        if len(stand_ins) < MOST_STAND_INS and _STRANGE.fullmatch(name) and name not in stand_ins:
            stand_ins[name] = _stand_in(name, MappingStandIn if name in scanned.filled else StandIn)


def _stand_in(name: str, kind: type[StandIn]) -> type[StandIn]:
    return type(name, (kind,), {"stands_for": name, "__module__": __name__})


def _refused(path: Path, message: str, stand_ins: dict[str, type[StandIn]]) -> CheckpointError:
    if "DTensor" in message:
        return CheckpointError(
            f"{path}: holds a distributed tensor, one part of a model on many machines: save the gathered state "
            "dict where it was made, for example with "
            "torch.distributed.checkpoint.state_dict.get_model_state_dict(model, options=StateDictOptions("
            "full_state_dict=True))"
        )
    found = _FIRST_NAME.search(message)
    if found or "nsupported" in message or stand_ins:
        return holds_objects(path, found.group(1) if found else next(iter(stand_ins), "a Python object"))
    return CheckpointError(
        f"{path}: cannot be read as a PyTorch file: it is not a pickle, or a broken one; copy it again, or "
        "give a .safetensors file"
    )
