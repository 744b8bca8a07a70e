"""The laws themselves: each must raise when it is broken, and say so with the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretomerge.testing import (
    assert_params_close,
    batch_equals_single,
    blockwise_equals_whole,
    corner_returns_task,
    dtypes_are_kept,
    equal_tasks_are_fixed,
    inputs_are_untouched,
    no_weight_returns_base,
    order_does_not_matter,
    weightless_task_is_absent,
)

ONE, TWO = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 0.0])}
TASKS = {"a": ONE, "b": TWO}


def average(weights):
    if isinstance(weights, dict):
        weights = [weights.get(task, 0.0) for task in TASKS]
    rows = np.atleast_2d(weights)
    merged = [{"w": float(row[0]) * ONE["w"] + float(row[1]) * TWO["w"]} for row in rows]
    return merged[0] if np.ndim(weights) == 1 else merged


def off(weights):
    found = average(weights)
    return [{"w": f["w"] + 0.1} for f in found] if isinstance(found, list) else {"w": found["w"] + 0.1}


def test_closeness_looks_at_names_dtypes_shapes_and_values():
    assert_params_close(ONE, {"w": torch.tensor([1.0, 2.0001])}, 1e-3, "x")
    for other, message in (
        ({"v": ONE["w"]}, "x: names differ"),
        ({"w": ONE["w"].double()}, "torch.float32.*not.*torch.float64"),
        ({"w": ONE["w"][:1]}, r"\(2,\).*not.*\(1,\)"),
        ({"w": torch.tensor([1.0, 2.1])}, "x: 'w' differs by 0.0476 relative, more than 0.001"),
        ({"w": torch.tensor([1.0, float("nan")])}, "differs by nan"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_params_close(ONE, other, 1e-3, "x")


def test_every_law_holds_for_the_average_and_fails_for_what_breaks_it():
    half = np.array([[0.5, 0.5], [0.25, 0.75]])
    corner_returns_task(average, TASKS, 1e-6)
    order_does_not_matter(average, average, {"a": 0.5, "b": 0.5}, 1e-6)
    batch_equals_single(average, half, 1e-6)
    inputs_are_untouched(average, [0.5, 0.5], [ONE, TWO])
    blockwise_equals_whole(average, lambda name, weights: average(weights), ["w"], [0.5, 0.5], 1e-6)
    equal_tasks_are_fixed(lambda weights: ONE, ("a", "b"), ONE, 1e-6)
    dtypes_are_kept(average, [0.5, 0.5], ONE)
    no_weight_returns_base(average, ("a", "b"), {"w": torch.zeros(2)}, 1e-6)
    weightless_task_is_absent(average, average, {"a": 0.5, "b": 0.5}, "b", 1e-6)
    broken = {
        "corner of a": lambda: corner_returns_task(off, TASKS, 1e-6),
        "reverse order": lambda: order_does_not_matter(average, off, {"a": 0.5, "b": 0.5}, 1e-6),
        "of a batch": lambda: batch_equals_single(
            lambda weights: average(weights) if np.ndim(weights) == 2 else off(weights), half, 1e-6
        ),
        "1 models for 2": lambda: batch_equals_single(lambda weights: average(weights)[:1], half, 1e-6),
        "changed the input": lambda: inputs_are_untouched(lambda weights: ONE, [1.0, 0.0], [{"w": ONE["w"]}]),
        "block 'w' by itself": lambda: blockwise_equals_whole(average, lambda n, w: off(w), ["w"], [0.5, 0.5], 1e-6),
        "equal tasks": lambda: equal_tasks_are_fixed(off, ("a", "b"), {"w": torch.zeros(2)}, 1e-6),
        "expected": lambda: dtypes_are_kept(lambda weights: {"w": torch.zeros(2).double()}, [0.5, 0.5], TWO),
        "without any weight": lambda: no_weight_returns_base(off, ("a", "b"), {"w": torch.zeros(2)}, 1e-6),
        "weight zero on b": lambda: weightless_task_is_absent(average, off, {"a": 0.5, "b": 0.5}, "b", 1e-6),
    }
    for message, run in broken.items():
        kept = ONE["w"].clone()
        with pytest.raises(AssertionError, match=message):
            run()
        ONE["w"].copy_(kept)


def test_integers_must_be_copied():
    like = {"n": torch.tensor(3)}
    with pytest.raises(AssertionError, match="'n' is not floating-point, but the merge changed it"):
        dtypes_are_kept(lambda weights: {"n": torch.tensor(4)}, [1.0], like)
