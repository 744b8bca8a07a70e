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

import pickle
import re
import threading
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import CheckpointError

MOST_STAND_INS = 500  # unknown names in one file; a real training checkpoint has a few dozen

_ONE_AT_A_TIME = threading.Lock()  # the list of safe globals belongs to the whole process

_UNKNOWN = re.compile(r"Unsupported global: GLOBAL ([\w.]+) was not an allowed global")
_FILLED = re.compile(r"Can only SETITEMS? for .*? but got <class '([^']+)'>")
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
    stand_ins: dict[str, type[StandIn]] = {}
    while True:
        try:
            allowed: list[Any] = [(found, name) for name, found in stand_ins.items()]
            with _ONE_AT_A_TIME, torch.serialization.safe_globals(allowed):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None), tuple(stand_ins)
        except pickle.UnpicklingError as error:
            if not _learn(stand_ins, str(error)):
                raise _refused(path, str(error), stand_ins) from None
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
    stand_ins[name] = type(name, (kind,), {"stands_for": name, "__module__": __name__})
    return True


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
