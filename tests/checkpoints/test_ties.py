from __future__ import annotations

import torch

from paretomerge.checkpoints.ties import MOST_TIES_READ, are_equal, base_ties, find_twins

MATRIX = torch.arange(6.0).reshape(3, 2)


def test_a_twin_has_the_same_shape_dtype_and_values() -> None:
    params = {"a": MATRIX, "b": MATRIX + 1, "c": MATRIX.double(), "d": MATRIX.clone()}
    assert find_twins(["a"], params, params) == {"a": "d"}
    assert find_twins(["a"], params, {"b", "c"}) == {}
    assert find_twins(["b"], params, params) == {}


def test_vectors_and_empty_tensors_have_no_twins() -> None:
    params = {"a": torch.arange(3.0), "b": torch.arange(3.0), "c": torch.ones(0, 2), "d": torch.ones(0, 2)}
    assert find_twins(["a"], params, params) == {}
    assert find_twins(["c"], params, params) == {}


def test_among_many_candidates_nothing_is_read() -> None:
    params = {f"w{number}": MATRIX for number in range(MOST_TIES_READ + 2)}
    assert find_twins(["w0"], params, params) == {}
    assert find_twins(["w0"], params, [f"w{number}" for number in range(MOST_TIES_READ + 1)])


def test_ties_of_a_base_are_second_name_to_first() -> None:
    base = {"shared.weight": MATRIX, "encoder.embed_tokens.weight": MATRIX, "lm_head.weight": MATRIX.clone()}
    assert base_ties(base) == {"encoder.embed_tokens.weight": "shared.weight", "lm_head.weight": "shared.weight"}
    assert base_ties({"embed.weight": MATRIX, "lm_head.weight": MATRIX + 1}) == {}
    assert base_ties({"one.weight": MATRIX, "two.weight": MATRIX}) == {}, "their names are not those of ties"
    assert base_ties({"lm_head.weight": MATRIX, "decoder.weight": MATRIX}) == {"lm_head.weight": "decoder.weight"}


def test_equal_means_both_names_and_all_values() -> None:
    params = {"a": MATRIX, "b": MATRIX.clone(), "c": MATRIX.double(), "d": MATRIX + 1}
    assert are_equal(params, "a", "b")
    assert not any(are_equal(params, "a", other) for other in ("c", "d", "absent"))


def test_constant_matrices_are_equal_by_chance() -> None:
    params = {"a": torch.zeros(3, 2), "b": torch.zeros(3, 2)}
    assert find_twins(["a"], params, params) == {}
    first = torch.zeros(3, 2)
    first[2, 1] = 1
    assert find_twins(["a"], {"a": first, "b": first.clone()}, params) == {"a": "b"}
