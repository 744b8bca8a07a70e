"""Merging into tensors that exist already."""

from __future__ import annotations

import pytest
import torch

from paretomerge.errors import AlignmentError, PosteriorError, WeightsError
from paretomerge.merging import (
    Averaging,
    PosteriorMerge,
    TaskArithmetic,
    WeightedSum,
    collect_inputs,
    merge,
    merge_blocks,
    merge_into,
)
from paretomerge.posteriors import Dense, Diagonal, Isotropic
from paretomerge.types import PatternWeights


def params(seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    random = {name: torch.randn(shape, generator=generator) for name, shape in (("w", (3, 4)), ("b", (4,)), ("s", ()))}
    return {**{name: tensor.to(dtype) for name, tensor in random.items()}, "steps": torch.tensor(seed)}


def empty(like):
    return {name: torch.full_like(tensor, 77) for name, tensor in like.items()}


BASE, A, B = params(0), params(1), params(2)
RULES = (Averaging(), WeightedSum(), TaskArithmetic(0.7), PosteriorMerge())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_tensors_get_what_merge_gives_rounded_once_into_their_own_dtype(rule, dtype):
    tasks, base, weights = {"a": A, "b": B}, {**params(0, dtype), "steps": torch.tensor(9)}, [0.3, 0.7]
    target = empty(base)
    places = {name: tensor.data_ptr() for name, tensor in target.items()}
    merge_into(collect_inputs(tasks, base=BASE, accumulate=torch.float64), weights, rule, target)
    expected = merge(tasks, weights, rule=rule, base=base, accumulate=torch.float64)
    origin_is_rounded = isinstance(rule, TaskArithmetic) and dtype in (torch.bfloat16, torch.float16)
    for name, tensor in target.items():
        assert tensor.data_ptr() == places[name]
        assert tensor.dtype == base[name].dtype
        if tensor.is_floating_point() and not origin_is_rounded:
            assert torch.equal(tensor, expected[name])
    assert target["steps"].item() == 0


def test_any_strides_are_written_in_place():
    memory = torch.zeros(4, 3)
    target = {**empty(BASE), "w": memory.T}
    merge_into(collect_inputs({"a": A, "b": B}, base=BASE), [0.5, 0.5], Averaging(), target)
    assert torch.equal(memory.T, merge({"a": A, "b": B}, [0.5, 0.5], rule=Averaging())["w"])


def test_tensors_that_want_gradients_are_overwritten_and_stay_leaves():
    target = {name: t.requires_grad_() if t.is_floating_point() else t for name, t in empty(BASE).items()}
    merge_into(collect_inputs({"a": A, "b": B}), [0.5, 0.5], Averaging(), target)
    assert all(tensor.is_leaf for tensor in target.values())
    assert torch.allclose(target["w"], (A["w"] + B["w"]) / 2)


def refused(error, message, target, weights=(0.5, 0.5), rule=None, **inputs):
    before = {name: tensor.clone() for name, tensor in target.items()}
    collected = collect_inputs({"a": A, "b": B}, **inputs)
    with pytest.raises(error, match=message):
        merge_into(collected, weights, rule or Averaging(), target)
    assert all(torch.equal(before[name], tensor) for name, tensor in target.items())


@pytest.mark.parametrize(
    ("weights", "rule", "message"),
    [
        ([0.5, 0.6], None, "weights sum to 1.1, not 1"),
        ([1.5, -0.5], None, "weights are negative"),
        ([[0.5, 0.5], [1.0, 0.0]], None, "2 weightings where one was expected"),
        (PatternWeights([0.5, 0.5], {"x.*": [1.0, 0.0]}), None, "no block of this merge is left for the pattern 'x"),
        ([1.0, 1.0], TaskArithmetic(), "adds task vectors to the base model: give `base`"),
        ([1.0, -1.0], TaskArithmetic(normalize=True), "give `base`"),
    ],
)
def test_bad_weights_leave_every_tensor_as_it_was(weights, rule, message):
    refused(WeightsError, message, empty(BASE), weights, rule)


def test_weights_of_zero_leave_every_tensor_as_it_was():
    refused(WeightsError, "every weight is zero", empty(BASE), [0.0, 0.0], prior=Isotropic(BASE))
    refused(WeightsError, "sum to zero", empty(BASE), [1.0, -1.0], TaskArithmetic(normalize=True), base=BASE)


def test_a_batch_of_one_is_one_weighting():
    target = empty(BASE)
    merge_into(collect_inputs({"a": A, "b": B}), [[0.0, 1.0]], Averaging(), target)
    assert torch.equal(target["w"], B["w"])


def test_tensors_that_do_not_fit_are_refused_before_anything_is_written():
    lacking = {name: tensor for name, tensor in empty(BASE).items() if name != "s"}
    refused(AlignmentError, r"cannot merge in place: 's' of shape \[\] was expected, there is none", lacking)
    wrong = {**empty(BASE), "b": torch.zeros(5)}
    refused(AlignmentError, r"'b' of shape \[4\] was expected, there is shape \[5\]\. Give the tensors of the", wrong)
    coded = {**empty(BASE), "w": torch.zeros(3, 4, dtype=torch.int8)}
    refused(AlignmentError, r"'w' is torch\.int8, which would cut off what comes after the point", coded)


@pytest.mark.parametrize("whose", ["task", "base", "precision"])
def test_an_input_is_not_overwritten(whose):
    base = empty(BASE)
    precision = {task: {name: torch.ones_like(A[name]) for name in ("w", "b", "s")} for task in "ab"}
    posteriors = {"a": Diagonal(A, precision["a"]), "b": Diagonal(B, precision["b"])}
    inputs = collect_inputs(posteriors, base=base)
    held = {"task": B["w"], "base": base["w"], "precision": precision["a"]["w"]}[whose]
    target = {**empty(BASE), "w": held.view(12).view(3, 4)}
    before = held.clone()
    with pytest.raises(AlignmentError, match="'w' is both an input of this merge and where it would be written"):
        merge_into(inputs, [0.5, 0.5], PosteriorMerge(), target)
    assert torch.equal(held, before)
    # what the merge does not write may be anything
    merge_into(inputs, [0.5, 0.5], PosteriorMerge(), {**empty(BASE), "other": held})


def test_what_comes_before_a_singular_block_is_overwritten():
    from paretomerge.posteriors import Product

    flat = {"v": torch.ones(2)}
    posteriors = {
        task: Product(
            {
                "sound": Diagonal({"u": torch.full((2,), float(k))}, {"u": torch.ones(2)}),
                "singular": Dense(flat, torch.zeros(2, 2)),
            }
        )
        for k, task in enumerate("ab")
    }
    target = {"u": torch.zeros(2), "v": torch.zeros(2)}
    with pytest.raises(PosteriorError, match="not positive definite"):
        merge_into(collect_inputs(posteriors), [0.5, 0.5], PosteriorMerge(), target)
    assert target["u"].tolist() == [0.5, 0.5]
    assert target["v"].tolist() == [0.0, 0.0]


def test_blocks_are_written_where_out_says_and_tensors_come_complete():
    class Slot(dict):
        """One buffer for everything: a tensor lives until the next one is asked for."""

        buffer = torch.empty(2 * 12)

        def __missing__(self, name):
            shape = (2, *BASE[name].shape)
            count = 2 * BASE[name].numel()
            return self.buffer[:count].view(shape) if name != "steps" else torch.empty(2, dtype=torch.int64)

    expected = merge({"a": A, "b": B}, [[0.5, 0.5], [0.1, 0.9]], rule=Averaging(), base=BASE)
    seen = []
    inputs = collect_inputs({"a": A, "b": B}, base=BASE)
    for name, tensor in merge_blocks(inputs, [[0.5, 0.5], [0.1, 0.9]], Averaging(), Slot()):
        seen.append(name)
        assert all(torch.equal(tensor[k], expected[k][name]) for k in range(2))
    assert sorted(seen) == sorted(BASE)


def test_what_no_task_covers_is_rounded_once_too():
    """float64 to bfloat16 by way of float32 would end at 1."""
    base = {"w": torch.zeros(3, 4), "frozen": torch.tensor([1 + 2**-8 + 2**-40], dtype=torch.float64)}
    target = {"w": torch.zeros(3, 4), "frozen": torch.zeros(1, dtype=torch.bfloat16)}
    tasks = {task: {"w": torch.ones(3, 4)} for task in "ab"}
    merge_into(collect_inputs(tasks, base=base), [0.5, 0.5], Averaging(), target)
    assert target["frozen"].item() == 1 + 2**-7
