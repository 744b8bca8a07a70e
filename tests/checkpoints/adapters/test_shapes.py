"""Which weights an adapter's targets store transposed: told by shapes, then by their likes, then by the flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from paretomerge.checkpoints.adapters.shapes import TargetShapes, find_transposed
from paretomerge.errors import CheckpointError

PATH = Path("adapter")


def target(outputs: int, inputs: int, weight: tuple[int, ...], embedding: bool = False) -> TargetShapes:
    return TargetShapes((2, inputs), (outputs, 2), weight, embedding, False)


STRAIGHT, TURNED, SQUARE = target(6, 4, (6, 4)), target(6, 4, (4, 6)), target(4, 4, (4, 4))


@pytest.mark.parametrize("said", [True, False])
def test_shapes_are_believed_before_the_flag(said):
    found = find_transposed(PATH, {"a": STRAIGHT, "b": TURNED}, said)
    assert found == {"a": False, "b": True}


@pytest.mark.parametrize("said", [True, False])
def test_a_square_weight_alone_is_as_the_flag_says(said):
    assert find_transposed(PATH, {"a": SQUARE, "b": SQUARE}, said) == {"a": said, "b": said}


@pytest.mark.parametrize(("other", "expected"), [(STRAIGHT, False), (TURNED, True)])
def test_a_square_weight_is_as_the_others_are_whatever_the_flag_says(other, expected):
    assert find_transposed(PATH, {"x.a": SQUARE, "x.b": other}, not expected)["x.a"] is expected


def test_a_square_weight_is_as_those_of_its_name_are():
    shapes = {"attn.c_proj": SQUARE, "mlp.c_proj": TURNED, "lm_head": STRAIGHT}
    assert find_transposed(PATH, shapes, False)["attn.c_proj"] is True


def test_a_square_weight_among_both_kinds_is_refused():
    with pytest.raises(CheckpointError, match=r"'attn\.q' is square"):
        find_transposed(PATH, {"attn.q": SQUARE, "mlp.c_proj": TURNED, "lm_head": STRAIGHT}, False)


@pytest.mark.parametrize("said", [True, False])
def test_embeddings_and_convolutions_say_nothing_about_a_square_weight(said):
    shapes = {
        "e": target(4, 9, (9, 4), embedding=True),
        "c": TargetShapes((2, 4, 3), (6, 2, 1), (6, 4, 3), False, False),
    }
    assert find_transposed(PATH, shapes | {"q": SQUARE}, said) == {"e": True, "c": False, "q": said}


def test_an_embedding_is_always_transposed():
    for inputs, outputs in ((9, 4), (4, 4)):
        shapes = {"e": target(outputs, inputs, (inputs, outputs), embedding=True), "b": STRAIGHT}
        assert find_transposed(PATH, shapes, False) == {"e": True, "b": False}


@pytest.mark.parametrize(
    ("down", "up", "weight"),
    [
        ((2, 4), (6, 2), (6, 5)),
        ((2, 4), (6, 3), (6, 4)),
        ((2, 4), (6,), (6, 4)),
        ((2,), (6, 2), (6,)),
        ((2, 4, 3), (6, 2, 2), (6, 4, 3)),
        ((2, 4, 3), (6, 2, 1), (3, 4, 6)),
    ],
)
def test_matrices_that_do_not_fit_are_refused_with_all_three_shapes(down, up, weight):
    with pytest.raises(CheckpointError) as caught:
        find_transposed(PATH, {"a": TargetShapes(down, up, weight, False, False)}, False)
    assert all(str(list(shape)) in str(caught.value) for shape in (down, up, weight))
