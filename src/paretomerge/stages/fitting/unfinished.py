"""The finished pieces of an unfinished fit, in a folder of the run: an interrupted fit goes on where it stopped.

unfinished/<key of the fit>/000-….safetensors              numbers and tensors of a piece
unfinished/<key of the fit>/000-….posterior.safetensors    its posterior, where it is one

A piece counts once its first file has its name, and files get theirs when they are complete; the folder goes when the
fit is stored. Pieces of another fit (other settings, data or checkpoints) are never looked at.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints import load_curvature, open_checkpoint, save_posterior, write_file
from paretomerge.curvature import Piece
from paretomerge.errors import ParetomergeError
from paretomerge.posteriors import Curvature
from paretomerge.types import Params

NUMBERS = "numbers"


class UnfinishedFit:
    """A `PieceStore` in a folder.

    Args:
        folder: of all unfinished fits of a run.
        key: digest of everything the fit depends on.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Nothing is read or written yet."""
        self._root = folder
        self._folder = folder / key[:32]

    def get(self, key: str) -> Piece | None:
        """The piece stored under `key`, in memory; `None` where there is none that can be read."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            held = open_checkpoint(path)
            names = json.loads(str(held[f"{NUMBERS}/names"].numpy().tobytes(), "utf-8"))
            values = dict(zip(names, held[NUMBERS].tolist(), strict=True))
            tensors = {name.removeprefix("tensors/"): held[name] for name in held if name.startswith("tensors/")}
            beside = path.with_suffix(".posterior.safetensors")
            posterior = _in_memory(load_curvature(beside)) if beside.is_file() else None
        except (ParetomergeError, ValueError, KeyError, TypeError, RecursionError):
            return None  # it is measured again
        return Piece(values, tensors, posterior)

    def put(self, key: str, piece: Piece) -> None:
        """Store a piece.

        Raises:
            StorageError: the disk refused.
        """
        path = self._path(key)
        if piece.posterior is not None:
            save_posterior(path.with_suffix(".posterior.safetensors"), piece.posterior)
        names = torch.frombuffer(bytearray(json.dumps(list(piece.numbers)).encode()), dtype=torch.uint8)
        values = torch.tensor(list(piece.numbers.values()), dtype=torch.float64)
        held: dict[str, Tensor] = {NUMBERS: values, f"{NUMBERS}/names": names}
        held |= {f"tensors/{name}": tensor for name, tensor in piece.tensors.items()}
        write_file(path, {name: (held, name) for name in held}, {"format": "pt"})

    def discard(self) -> None:
        """Remove all unfinished fits of the run: what they were for is stored."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _path(self, key: str) -> Path:
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in key)
        return self._folder / f"{safe[:80]}.safetensors"


def _in_memory(posterior: Curvature) -> Curvature:
    """The posterior without its file."""

    def read(params: Params) -> Params:
        return {name: params[name] for name in params}

    return posterior.map_params(read)
