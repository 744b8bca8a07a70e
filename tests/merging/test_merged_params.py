"""Merges that are computed while they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import torch
from tests.cases import CASES, Case, Setting
from torch import Tensor, nn

from paretomerge.errors import AlignmentError, WeightsError
from paretomerge.merging import Averaging, MergedParams, PosteriorMerge, TaskArithmetic, Ties, collect_inputs, merge
from paretomerge.posteriors import Diagonal, Isotropic
from paretomerge.types import TensorSpec, load_in_place

ALPHA = {"a": 0.25, "b": 0.75}


class Counting(Mapping[str, Tensor]):
    """A checkpoint that is read lazily, and says how many of its tensors are alive."""

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        self._params, self.read = params, []

    def __iter__(self) -> Iterator[str]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)

    def __getitem__(self, name: str) -> Tensor:
        self.read.append(name)
        return self._params[name].clone()

    def spec(self, name: str) -> TensorSpec:
        return TensorSpec(tuple(self._params[name].shape), self._params[name].dtype)


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))


def finetunes() -> dict[str, Counting]:
    return {task: Counting(net(seed).state_dict()) for seed, task in enumerate(ALPHA)}


def test_written_into_a_module_it_is_the_merge() -> None:
    given, base = finetunes(), net(5).state_dict()
    merged = MergedParams(collect_inputs(given, base=base), ALPHA, PosteriorMerge())
    module = net(9)
    load_in_place(module, merged)
    expected = merge(given, ALPHA, base=base)
    assert list(merged) == list(expected)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
        assert torch.equal(merged[name], expected[name]), name


def test_nothing_is_read_before_it_is_written_and_each_tensor_once() -> None:
    given = finetunes()
    merged = MergedParams(collect_inputs(given), ALPHA, PosteriorMerge())
    assert not any(each.read for each in given.values())
    load_in_place(net(9), merged)
    for each in given.values():
        assert len(each.read) == len(set(each.read))


def test_a_module_that_holds_it_already_is_left_alone_until_something_else_is_loaded() -> None:
    """Evaluators load a model once per task, and merging it again for each of them would cost as much as merging T."""
    given, module = finetunes(), net(9)
    merged = MergedParams(collect_inputs(given), ALPHA, PosteriorMerge())
    load_in_place(module, merged)
    count = len(given["a"].read)
    load_in_place(module, merged)
    assert len(given["a"].read) == count
    other = MergedParams(merged.inputs, {"a": 1.0, "b": 0.0}, PosteriorMerge())
    load_in_place(module, other)
    assert torch.equal(module.state_dict()["0.weight"], other["0.weight"])
    load_in_place(module, net(3).state_dict())
    load_in_place(module, merged)
    assert torch.equal(module.state_dict()["0.weight"], merged["0.weight"])


def test_it_is_rounded_once_into_the_dtype_of_the_module() -> None:
    """Rounded to bfloat16 first, 1 + 2^-8 + 2^-30 would become 1 (ties to even)."""
    given = {task: {"w": torch.tensor([1 + 2**-8 + 2**-30], dtype=torch.float64)} for task in ALPHA}
    base = {"w": torch.zeros(1)}
    target = {"w": torch.empty(1, dtype=torch.bfloat16)}
    MergedParams(collect_inputs(given, base=base), ALPHA, PosteriorMerge()).write_into(target)
    assert float(target["w"]) == 1 + 2**-7


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_rule_writes_what_it_merges(case: Case) -> None:
    """Also tensor by tensor, by name."""
    setting = case.fitting(Setting.random({"blocks.0.weight": (6, 5)}, torch.float32, 3, seed=3))
    weights, given = case.weightings(setting)[1], case.give(setting)
    expected = case.merger(setting)(weights)
    merged = MergedParams(collect_inputs(given.posteriors, given.prior, given.base), weights, case.rule)
    target = {name: torch.full_like(tensor, 7) for name, tensor in expected.items()}
    merged.write_into(target)
    for name, tensor in expected.items():
        assert torch.equal(target[name], tensor), name
        assert torch.equal(merged[name], tensor), name


def test_only_rules_that_work_element_by_element_merge_parts() -> None:
    means = {task: net(seed).state_dict() for seed, task in enumerate(ALPHA)}
    ones = {name: torch.ones_like(t) for name, t in means["a"].items() if t.is_floating_point()}
    diagonal = {task: Diagonal(mean, ones) for task, mean in means.items()}
    isotropic = {task: Isotropic(mean) for task, mean in means.items()}
    for posteriors, rule, expected in (
        (isotropic, PosteriorMerge(), True),
        (diagonal, PosteriorMerge(), True),
        (isotropic, Averaging(), True),
        (isotropic, TaskArithmetic(), True),
        (isotropic, Ties(), False),
    ):
        inputs = collect_inputs(posteriors, base=means["a"])
        assert MergedParams(inputs, ALPHA, rule).is_elementwise == expected


def test_several_weightings_are_refused_before_anything_is_read() -> None:
    given = finetunes()
    with pytest.raises(WeightsError, match="2 weightings where one was expected"):
        MergedParams(collect_inputs(given), [[0.5, 0.5], [1.0, 0.0]], PosteriorMerge())
    assert not given["a"].read


def test_integers_are_no_place_for_merged_numbers() -> None:
    merged = MergedParams(collect_inputs(finetunes()), ALPHA, PosteriorMerge())
    with pytest.raises(AlignmentError, match=r"'0.weight' is torch.int64 there"):
        merged.write_into({"0.weight": torch.zeros(6, 4, dtype=torch.int64)})


def test_a_name_it_has_not_is_a_missing_key() -> None:
    merged = MergedParams(collect_inputs(finetunes()), ALPHA, PosteriorMerge())
    assert "nothing" not in merged
    with pytest.raises(KeyError):
        merged["nothing"]
