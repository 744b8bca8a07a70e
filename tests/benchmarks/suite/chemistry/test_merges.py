from __future__ import annotations

import pytest
import torch
from benchmarks.suite.chemistry.merges import COMPARED, WEIGHTS, compare_merges, naive, ours


def drawn(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"a.weight": torch.randn(30, 20, generator=generator), "b": torch.randn(7, generator=generator)}


BASE = {**drawn(0), "head": torch.ones(3)}
TUNES = {"one": drawn(1), "two": drawn(2)}


def test_ours_are_plain_loops_and_without_mergekit_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MERGEKIT_PYTHON", "/nowhere/python")
    found = compare_merges(BASE, TUNES, tmp_path)
    assert list(found) == ["averaging", "task arithmetic", "TIES"]
    for entry in found.values():
        assert entry["against"]["plain loop"]["largest_difference"] < 1e-6
        assert entry["against"]["plain loop"]["largest_update"] > 1
        assert entry["mergekit_skipped"].startswith("MERGEKIT_PYTHON is '/nowhere/python'")
    assert list(tmp_path.iterdir()) == [], "the files for mergekit are gone"


@pytest.mark.parametrize("compared", COMPARED, ids=lambda compared: compared.name)
def test_rules_differ_from_each_other_and_heads_stay_the_base_s(compared):
    for models in (ours(compared, BASE, TUNES), naive(compared, BASE, TUNES)):
        found = list(models)
        assert len(found) == len(WEIGHTS)
        for row, model in zip(WEIGHTS, found, strict=True):
            assert torch.equal(model["head"], BASE["head"])
            mean = sum(weight * tune["b"].double() for weight, tune in zip(row, TUNES.values(), strict=True))
            assert (float((model["b"] - mean).abs().max()) < 1e-6) == (compared.name == "averaging")
