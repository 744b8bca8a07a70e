from __future__ import annotations

import pytest
import torch

from paretomerge.checkpoints import align
from paretomerge.checkpoints.preflight.unmergeable import MOST_ELEMENTS_COMPARED

WEIGHT = {"conv.weight": torch.ones(2, 2)}


def test_merged_running_statistics_must_be_estimated_again() -> None:
    base = WEIGHT | {
        "norm.running_mean": torch.zeros(2),
        "norm.running_var": torch.ones(2),
        "norm.num_batches_tracked": torch.tensor(1),
    }
    tune = {**base, "conv.weight": torch.full((2, 2), 1.1), "norm.num_batches_tracked": torch.tensor(900)}
    alignment = align(base, {"a": tune, "b": {**tune, "conv.weight": torch.full((2, 2), 1.2)}})
    assert alignment.ok
    [found] = alignment.findings
    assert (found.severity, found.kind, found.task) == ("warning", "buffer", None)
    assert found.tensors == ("norm.running_mean", "norm.running_var")
    assert "Estimate them again on training data: paretomerge.refresh_statistics" in found.message
    assert align(base, {"a": tune}, kept=set(found.tensors)).findings == ()


@pytest.mark.parametrize("values", [torch.tensor([0, 1, 2]), torch.tensor([True, False, True])])
def test_integers_that_differ_are_said_to_be_the_bases(values: torch.Tensor) -> None:
    base = WEIGHT | {"position_ids": values, "same": values}
    tune = {"conv.weight": torch.full((2, 2), 1.1), "position_ids": values.flip(0).roll(1), "same": values.clone()}
    alignment = align(base, {"a": tune})
    assert alignment.ok
    [found] = alignment.findings
    assert (found.kind, found.task, found.tensors) == ("buffer", "a", ("position_ids",))
    assert align(base, {"a": tune}, check_values=False).findings == ()
    assert align(base, {"a": tune}, kept=["position_ids"]).findings == ()


def test_a_large_table_of_integers_is_not_read() -> None:
    base = WEIGHT | {"ids": torch.zeros(MOST_ELEMENTS_COMPARED + 1, dtype=torch.int8)}
    tune = {"conv.weight": torch.full((2, 2), 1.1), "ids": base["ids"] + 1}
    assert align(base, {"a": tune}).findings == ()


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("layer.qweight", torch.int32),
        ("layer.weight.absmax", torch.float32),
        ("layer.SCB", torch.float32),
        ("layer.weight_scale_inv", torch.float32),
        ("layer.weight", torch.int8),
        ("layer.weight", torch.float8_e4m3fn),
    ],
)
def test_codes_are_refused_in_whichever_model(name: str, dtype: torch.dtype) -> None:
    codes = WEIGHT | {name: torch.ones(2, 2).to(dtype)}
    tune = {**codes, "conv.weight": torch.full((2, 2), 1.1)}
    found = [finding for finding in align(codes, {"a": tune}).errors if finding.kind == "quantised"]
    assert [finding.task for finding in found] == [None, "a"]
    assert f"{name!r}, {dtype}, quantised by the look of it" in found[0].message
    assert "dequantize()" in found[0].message
    assert not [f for f in align(codes, {"a": tune}, kept=[name]).findings if f.kind == "quantised" and f.task is None]


def test_masks_of_bytes_are_not_codes() -> None:
    base = WEIGHT | {"attention.mask": torch.ones(2, 2, dtype=torch.uint8)}
    assert align(base, {"a": {**base, "conv.weight": torch.full((2, 2), 1.1)}}).findings == ()
