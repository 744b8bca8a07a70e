"""Training checkpoints: what a training needs to go on, bit by bit as if it had never stopped.

One file in the folder: written beside its place, forced to the disk and renamed, so that it is whole or the one before.
It says which training it belongs to, holds tensors and plain values only, and is gone when the training is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from paretomerge.checkpoints.atomic import storage_errors, sync_file, sync_folder, temporary_beside
from paretomerge.checkpoints.files.torch_pickles import require_no_bomb
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.training.examples import ExamplePool
from paretomerge.training.recipe import TrainingRecipe
from paretomerge.types import Batch, Params, Problem, digest_params

FILE = "training.pt"

FORMAT = 1

_WORDS = {
    "weights": "task weights",
    "recipe": "training recipe",
    "seed": "seed",
    "start": "parameters where training starts",
    "data": "training examples",
    "validation": "validation examples",
    "loss": "loss",
}
"""What a training is known by, as a message calls it."""


@dataclass(frozen=True)
class TrainingFolder:
    """The checkpoint of one training.

    Args:
        path: the folder; made when first needed.
        identity: what the training is known by, see `identity_of`.
    """

    path: Path
    identity: Mapping[str, str]

    def load(self, *, mapped: bool = False) -> dict[str, Any] | None:
        """The state saved last, on the CPU; `None` when there is none.

        Args:
            mapped: leave tensors in the file until they are used, for processes that each take a part.

        Raises:
            CheckpointError: the folder has the checkpoint of another training, or a broken file.
            StorageError: the disk refused to read.
        """
        file = self.path / FILE
        if not file.is_file():
            return None
        with storage_errors(file, "read"), file.open("rb") as handle:
            source = str(file) if mapped else handle  # only a path can be mapped
            try:
                require_no_bomb(file)
                held = torch.load(source, map_location="cpu", weights_only=True, mmap=mapped)
                saved_as, state = _texts(held["identity"]), dict(held["state"])
            except (OSError, StorageError):
                raise
            # torch.load has no exception of its own for broken bytes: whatever the pickle machine met comes through
            except Exception as error:
                raise CheckpointError(
                    f"{file} is no training checkpoint that can be read ({type(error).__name__}): delete it to train "
                    "from the start, or give another folder"
                ) from error
        self._require_same(saved_as)
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace what was saved before.

        Raises:
            StorageError: the disk refused; what was there before stays.
        """
        file = self.path / FILE
        temporary = temporary_beside(file)
        try:
            with storage_errors(file):
                self.path.mkdir(parents=True, exist_ok=True)
                self._sweep()
                _write({"identity": dict(self.identity), "state": dict(state)}, temporary)
                sync_file(temporary)
                os.replace(temporary, file)
                sync_folder(self.path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the checkpoint, and the folder if nothing else is in it."""
        self._sweep()
        with contextlib.suppress(OSError):
            (self.path / FILE).unlink(missing_ok=True)
            self.path.rmdir()

    def _sweep(self) -> None:
        """Delete what a process left when it was killed while it was writing."""
        for left in self.path.glob(f".{FILE}.*.partial"):
            with contextlib.suppress(OSError):
                left.unlink() if left.is_file() else shutil.rmtree(left, ignore_errors=True)

    def _require_same(self, saved_as: Mapping[str, str]) -> None:
        if dict(saved_as) == dict(self.identity):
            return
        names = [*self.identity, *(name for name in saved_as if name not in self.identity)]
        other = [name for name in names if saved_as.get(name) != self.identity.get(name)]
        shown = [f"{_WORDS.get(name, name)}{_pair(saved_as.get(name), self.identity.get(name))}" for name in other]
        raise CheckpointError(
            f"{self.path} holds the checkpoint of another training. Different: {'; '.join(shown)}. Give another "
            f"folder, go back to those settings, or delete {self.path / FILE} to train from the start"
        )


def _texts(found: Mapping[str, str]) -> dict[str, str]:
    """The identity in a file; `TypeError` where it is none."""
    if not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise TypeError("an identity has names and texts")
    return dict(found)


def identity_of(
    problem: Problem,
    start: Params,
    alpha: Mapping[str, float],
    recipe: TrainingRecipe,
    seed: int,
    pools: Mapping[str, ExamplePool],
    validation: Mapping[str, Iterable[Batch]],
) -> dict[str, str]:
    """Everything a training's result depends on: settings as words, contents as digests (SHA-256).

    The code of the model and of a `loss_fn` is not looked at, only the latter's name.
    """
    own = problem.loss_fn
    loss = problem.likelihood if own is None else f"{own.__module__}.{getattr(own, '__qualname__', 'loss_fn')}"
    named = ", ".join(f"{task}={weight!r}" for task, weight in alpha.items())
    checks = {"check_every": recipe.check_every}
    found = {
        "weights": named,
        "recipe": json.dumps(recipe.identity() | checks, sort_keys=True),
        "seed": str(seed),
        "loss": loss,
        "start": digest_params(start),
        "data": _digest({task: [pool.examples] for task, pool in pools.items()}),
    }
    return found | ({"validation": _digest(validation)} if validation else {}) | {"format": str(FORMAT)}


def _write(content: Mapping[str, Any], file: Path) -> None:
    """`torch.save` by path: into an open file it writes through a callback, which turns an interrupt into an error."""
    try:
        torch.save(content, str(file))
    except RuntimeError as error:
        raise OSError(str(error).partition("\n")[0]) from error


def _digest(batches: Mapping[str, Iterable[Batch]]) -> str:
    digest = hashlib.sha256()
    for task, parts in batches.items():
        for number, (inputs, targets) in enumerate(parts):
            tensors = inputs if isinstance(inputs, Mapping) else {"inputs": inputs}
            digest.update(f"{task}|{number}|".encode())
            digest.update(digest_params({**tensors, "targets of this": targets}).encode())
    return digest.hexdigest()


def _pair(held: str | None, wanted: str | None) -> str:
    """Both values where they are short enough to read."""
    if held is None or wanted is None or (len(held) == 64 and " " not in held):
        return ""
    if held.startswith("{"):
        try:
            there, here = json.loads(held), json.loads(wanted)
        except (ValueError, RecursionError):
            return ""
        names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        return f" ({', '.join(f'{name}: {there.get(name)} there, {here.get(name)} asked for' for name in names)})"
    return f" ({held} there, {wanted} asked for)"
