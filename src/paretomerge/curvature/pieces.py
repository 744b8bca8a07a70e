"""Finished pieces of a fit, kept so that an interrupted one goes on where it stopped.

A fit is a sequence of measurements (a task's posterior; the gradient or the expansion of a task at a centre) that
depend on nothing but the settings and the measurements before. Each is asked for through `Pieces`, which knows whether
an earlier sitting has made it. Where pieces are kept is the caller's: nothing here touches a disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeVar

from torch import Tensor

from paretomerge.posteriors import Curvature

Measured = TypeVar("Measured")
SECONDS = "seconds"


@dataclass(frozen=True, eq=False)
class Piece:
    """What one measurement gave.

    Args:
        numbers: such as the loss and the number of examples.
        tensors: in memory.
        posterior: where the measurement is one.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    posterior: Curvature | None = None


class PieceStore(Protocol):
    """Where finished pieces are kept, by key; all of one fit."""

    def get(self, key: str) -> Piece | None:
        """The piece stored under `key`, exactly as it was put; `None` when there is none."""
        ...

    def put(self, key: str, piece: Piece) -> None:
        """Keep a piece."""
        ...


class Forgetful:
    """Keeps nothing."""

    def get(self, key: str) -> Piece | None:
        """Nothing."""
        return None

    def put(self, key: str, piece: Piece) -> None:
        """Forget it."""


class Pieces:
    """The pieces of one fit, in the order in which they are asked for; equal settings ask for equal pieces.

    `earlier` counts the seconds that earlier sittings spent on pieces that were found.
    """

    def __init__(self, store: PieceStore | None = None) -> None:
        """Nothing was asked for yet."""
        self._store: PieceStore = Forgetful() if store is None else store
        self._asked = 0
        self.earlier = 0.0

    def keep(self, what: str, kind: type[Measured], measure: Callable[[], Measured]) -> Measured:
        """The next piece: found, or measured and kept.

        Args:
            what: names it, beside its number in the sequence.
            kind: the dataclass that is measured; its fields are numbers, tensors, mappings of names to tensors, and at
                most one posterior.
            measure: how it is made.
        """
        key = piece_key(self._asked, what)
        self._asked += 1
        found = self._store.get(key)
        if found is not None:
            self.earlier += found.numbers.get(SECONDS, 0.0)
            return _from_piece(kind, found)
        started = time.perf_counter()
        made = measure()
        self._store.put(key, as_piece(made, time.perf_counter() - started))
        return made


def piece_key(number: int, what: str) -> str:
    """The key of a piece by its place in the sequence."""
    return f"{number:03d} {what}"


def as_piece(made: Any, seconds: float) -> Piece:
    """A measurement as it is kept; `seconds` it took."""
    numbers, tensors, posterior = {SECONDS: seconds}, {}, None
    for each in fields(made):
        value = getattr(made, each.name)
        if isinstance(value, Tensor):
            tensors[each.name] = value
        elif isinstance(value, Mapping):
            tensors |= {f"{each.name}/{name}": tensor for name, tensor in value.items()}
        elif isinstance(value, int | float):
            numbers[each.name] = float(value)
        else:
            posterior = value
    return Piece(numbers, tensors, posterior)


def _from_piece(kind: type[Measured], piece: Piece) -> Measured:
    values: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type]
        hint, path = str(each.type), f"{each.name}/"
        if each.name in piece.numbers:
            values[each.name] = int(piece.numbers[each.name]) if hint == "int" else piece.numbers[each.name]
        elif each.name in piece.tensors:
            values[each.name] = piece.tensors[each.name]
        elif hint.startswith("dict"):
            values[each.name] = {n.removeprefix(path): t for n, t in piece.tensors.items() if n.startswith(path)}
        else:
            values[each.name] = piece.posterior
    return kind(**values)
