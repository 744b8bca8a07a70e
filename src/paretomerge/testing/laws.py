"""Laws of merging, as functions that raise `AssertionError` with the numbers when they do not hold.

Third-party rules can be checked with the same functions. Every law takes `merge(weights) → parameters`, a closure
over the rule and its inputs, and what it compares with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from paretomerge.types import Params

Merger = Callable[[Any], Any]
"""`weights → Params`, or a list of `Params` for a batch of weightings."""


def assert_params_close(one: Params, other: Params, tolerance: float, what: str) -> None:
    """Equal names, shapes and dtypes, and values within `tolerance` of the largest magnitude of each tensor."""
    assert list(one) == list(other), f"{what}: names differ: {list(one)[:3]}… and {list(other)[:3]}…"
    for name in one:
        a, b = one[name], other[name]
        found, expected = (a.dtype, tuple(a.shape)), (b.dtype, tuple(b.shape))
        assert found == expected, f"{what}: {name!r} is {found}, not {expected}"
        if not a.numel():
            continue
        scale = max(float(b.double().abs().max()), 1e-30)
        error = float((a.double() - b.double()).abs().max()) / scale
        assert error <= tolerance, f"{what}: {name!r} differs by {error:.3g} relative, more than {tolerance:.3g}"


def corner_returns_task(merge: Merger, finetunes: Mapping[str, Params], tolerance: float) -> None:
    """All weight on one task returns that task's finetune."""
    for task, finetune in finetunes.items():
        merged = merge({other: float(other == task) for other in finetunes})
        assert_params_close(merged, finetune, tolerance, f"corner of {task}")


def equal_tasks_are_fixed(merge: Merger, tasks: Sequence[str], params: Params, tolerance: float) -> None:
    """When every task is the same model, every weighting returns it."""
    for weights in np.random.default_rng(0).dirichlet(np.ones(len(tasks)), size=3):
        assert_params_close(merge(weights), params, tolerance, "merge of equal tasks")


def order_does_not_matter(
    merge: Merger, reversed_merge: Merger, weights: Mapping[str, float], tolerance: float
) -> None:
    """Giving the tasks in another order changes nothing."""
    assert_params_close(reversed_merge(weights), merge(weights), tolerance, "tasks in reverse order")


def batch_equals_single(merge: Merger, weights: np.ndarray, tolerance: float) -> None:
    """`K` weightings in one sweep are the `K` merges one by one."""
    batch = merge(weights)
    assert len(batch) == len(weights), f"{len(batch)} models for {len(weights)} weightings"
    for row, merged in zip(weights, batch, strict=True):
        assert_params_close(merged, merge(row), tolerance, f"weighting {row} of a batch")


def inputs_are_untouched(merge: Merger, weights: Any, inputs: Sequence[Params]) -> None:
    """A merge changes none of its inputs, and its output shares no memory with them."""
    before = [{name: tensor.clone() for name, tensor in params.items()} for params in inputs]
    merged = merge(weights)
    for tensor in merged.values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    for params, copy in zip(inputs, before, strict=True):
        for name, tensor in params.items():
            assert torch.equal(tensor, copy[name]), f"the merge (or writing to its output) changed the input {name!r}"


def blockwise_equals_whole(
    merge: Merger, merge_part: Callable[[str, Any], Any], names: Sequence[str], weights: Any, tolerance: float
) -> None:
    """Merging each tensor by itself gives the same as merging the whole model."""
    whole = merge(weights)
    for name in names:
        part = merge_part(name, weights)
        assert_params_close({name: whole[name]}, {name: part[name]}, tolerance, f"block {name!r} by itself")


def dtypes_are_kept(merge: Merger, weights: Any, like: Params) -> None:
    """The merged model has the names, order, shapes and dtypes of `like`, and copies what is not floating-point."""
    merged = merge(weights)
    found, expected = ({n: (t.dtype, tuple(t.shape)) for n, t in params.items()} for params in (merged, like))
    assert list(found.items()) == list(expected.items()), f"merged {found}, expected {expected}"
    for name, tensor in like.items():
        if not tensor.is_floating_point():
            assert torch.equal(merged[name], tensor), f"{name!r} is not floating-point, but the merge changed it"


def no_weight_returns_base(merge: Merger, tasks: Sequence[str], base: Params, tolerance: float) -> None:
    """With weight zero on every task there is nothing but the prior: the base model comes back."""
    assert_params_close(merge(dict.fromkeys(tasks, 0.0)), base, tolerance, "merge without any weight")


def weightless_task_is_absent(
    merge: Merger, merge_without: Merger, weights: Mapping[str, float], absent: str, tolerance: float
) -> None:
    """A task of weight zero might as well not have been given."""
    rest = {task: weight for task, weight in weights.items() if task != absent}
    total = sum(rest.values())
    rest = {task: weight / total for task, weight in rest.items()}
    assert_params_close(merge({**rest, absent: 0.0}), merge_without(rest), tolerance, f"weight zero on {absent}")
