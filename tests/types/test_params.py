from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.errors import AlignmentError
from paretomerge.types import Layout, TensorSpec, compute_dtype, digest_params, spec_of

SHAPES = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1)


@given(shapes=SHAPES, lead=st.sampled_from([(), (1,), (2, 3)]))
def test_flatten_and_unflatten_are_inverse(shapes, lead):
    layout = Layout(shapes)
    vector = torch.arange(2 * 3 * layout.size, dtype=torch.float64).reshape(6, layout.size)[
        : 6 if lead == (2, 3) else 1
    ]
    vector = vector.reshape(*lead, layout.size)
    tensors = layout.unflatten(vector)
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        n: (*lead, *s) for n, s in shapes.items()
    }
    if lead == ():
        assert torch.equal(layout.flatten(tensors), vector)


def test_the_layout_is_that_of_the_floating_point_tensors_in_their_order():
    params = {
        "n": torch.tensor(1),
        "b": torch.zeros(2),
        "a": torch.zeros(3, dtype=torch.bfloat16),
        "m": torch.ones(1) > 0,
    }
    layout = Layout.of(params)
    assert list(layout.shapes) == ["b", "a"]
    assert layout.slices == {"b": slice(0, 2), "a": slice(2, 5)}


def test_parameters_of_another_model_are_refused():
    layout = Layout({"w": (2,), "b": (1,)})
    with pytest.raises(AlignmentError, match="parameters lack 'b'"):
        layout.flatten({"w": torch.zeros(2)})
    with pytest.raises(
        AlignmentError, match=r"'w' has shape \[3\], expected \[2\]: these parameters belong to another"
    ):
        layout.flatten({"w": torch.zeros(3), "b": torch.zeros(1)})


def test_specs_are_read_without_values_where_parameters_are_lazy():
    class Lazy(dict):
        def spec(self, name):
            return TensorSpec((4,), torch.float16)

    assert spec_of(Lazy(), "w") == TensorSpec((4,), torch.float16)
    assert spec_of({"w": torch.zeros(2, 3)}, "w") == TensorSpec((2, 3), torch.float32)
    assert TensorSpec((2, 3), torch.float32).numel == 6
    assert TensorSpec((), torch.float32).numel == 1
    assert not TensorSpec((2,), torch.long).is_mergeable


def test_sums_are_taken_in_float64_only_if_an_input_is():
    assert compute_dtype([torch.bfloat16, torch.float16]) == torch.float32
    assert compute_dtype([torch.bfloat16, torch.float64]) == torch.float64


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.tensor([1.0, 2.5])},
        {"v": torch.tensor([1.0, 2.0])},
        {"w": torch.tensor([[1.0, 2.0]])},
        {"w": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"w": torch.tensor([1.0, 2.0]).view(torch.int32)},
        {"w": torch.tensor([1.0, 2.0]), "b": torch.zeros(0)},
    ],
)
def test_digests_tell_values_names_shapes_and_dtypes_apart(other):
    assert digest_params({"w": torch.tensor([1.0, 2.0])}) != digest_params(other)


def test_digests_do_not_depend_on_order_or_memory_layout():
    matrix = torch.arange(6.0).reshape(2, 3)
    one = {"w": matrix, "b": torch.tensor(True), "h": torch.ones(1, dtype=torch.bfloat16)}
    other = {"h": one["h"], "b": one["b"], "w": matrix.T.contiguous().T}
    assert digest_params(one) == digest_params(other)


@pytest.mark.parametrize(
    ("shape", "dtype", "count"), [((2, 3), torch.bfloat16, 12), ((), torch.float64, 8), ((0,), torch.int8, 0)]
)
def test_a_spec_gives_room_for_its_tensor_in_a_buffer_or_in_new_memory(shape, dtype, count):
    spec = TensorSpec(shape, dtype)
    assert spec.nbytes == count
    buffer = torch.zeros(64, dtype=torch.uint8)
    for room in (spec.room(), spec.room(buffer)):
        assert (tuple(room.shape), room.dtype) == (shape, dtype)
    spec.room(buffer).fill_(1)
    assert bool(buffer[:count].any()) == (count > 0)
    assert not buffer[count:].any()
