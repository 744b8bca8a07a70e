"""Finished pieces of a fit are found again, in their order and with their types."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.curvature import Piece, Pieces
from paretomerge.posteriors import Isotropic, Posterior


@dataclass(frozen=True, eq=False)
class Measured:
    loss: float
    examples: int
    curvature: Tensor
    gradient: dict[str, Tensor]
    posterior: Posterior


class Memory:
    """A store that keeps everything."""

    def __init__(self) -> None:
        self.held: dict[str, Piece] = {}

    def get(self, key: str) -> Piece | None:
        return self.held.get(key)

    def put(self, key: str, piece: Piece) -> None:
        self.held[key] = piece


def measured(number: int) -> Measured:
    gradient = {"w": torch.full((2,), float(number)), "a/b": torch.zeros(())}
    return Measured(0.1 * number, number, torch.eye(2), gradient, Isotropic({"w": torch.ones(2)}, 1.0 + number))


def never() -> Measured:
    raise AssertionError("was measured again")


def test_a_piece_comes_back_as_it_was_with_its_types() -> None:
    store = Memory()
    first = Pieces(store).keep("x", Measured, lambda: measured(3))
    found = Pieces(store).keep("x", Measured, never)
    assert (found.loss, found.examples, type(found.examples), type(found.loss)) == (first.loss, 3, int, float)
    assert torch.equal(found.curvature, torch.eye(2))
    assert list(found.gradient) == ["w", "a/b"]
    assert torch.equal(found.gradient["w"], first.gradient["w"])
    assert found.posterior is first.posterior


def test_pieces_are_told_apart_by_their_place_in_the_sequence() -> None:
    store = Memory()
    pieces = Pieces(store)
    for number in (1, 2):
        pieces.keep("expansion of a", Measured, lambda number=number: measured(number))  # type: ignore[misc]
    again = Pieces(store)
    assert [again.keep("expansion of a", Measured, never).examples for _ in range(2)] == [1, 2]
    assert again.keep("expansion of a", Measured, lambda: measured(7)).examples == 7
    assert Pieces(store).keep("expansion of b", Measured, lambda: measured(9)).examples == 9


def test_the_time_of_earlier_sittings_is_remembered() -> None:
    store = Memory()
    pieces = Pieces(store)
    pieces.keep("x", Measured, lambda: measured(1))
    assert pieces.earlier == 0.0
    (piece,) = store.held.values()
    seconds = piece.numbers["seconds"]
    assert seconds > 0
    again = Pieces(store)
    again.keep("x", Measured, never)
    assert again.earlier == seconds


def test_without_a_store_everything_is_measured() -> None:
    pieces = Pieces()
    assert [pieces.keep("x", Measured, lambda: measured(4)).examples for _ in range(2)] == [4, 4]
