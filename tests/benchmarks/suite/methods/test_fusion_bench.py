"""fusion_bench's Fisher merging; it lives in its own environment, which `FUSION_BENCH_PYTHON` names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.suite.methods.fusion_bench import (
    FUSION_BENCH,
    exported,
    fusion_bench_methods,
    require,
    run_fusion_bench,
    split,
)
from tests.benchmarks.suite.tiny_setting import tiny_setting
from torch import nn

from benchmarks.suite.methods import NotHere


def is_here() -> bool:
    try:
        return bool(FUSION_BENCH.python)
    except NotHere:
        return False


needs_fusion_bench = pytest.mark.skipif(
    not is_here(), reason="needs fusion_bench: set FUSION_BENCH_PYTHON to a Python that has it"
)


def naive_fisher(setting, task: str) -> dict[str, torch.Tensor]:
    """What its code computes with one example at a time: `(Σ_c √p_c ∂ log p_c)²`, mean over the examples."""
    module = setting.problem.build().eval()
    module.load_state_dict(setting.finetunes[task])
    totals = {name: torch.zeros_like(parameter) for name, parameter in module.named_parameters()}
    batches = list(split(setting, task, 1))
    for inputs in batches:
        module.zero_grad()
        logs = module(inputs).log_softmax(1)
        (logs.exp().detach().sqrt() * logs).sum().backward()
        for name, parameter in module.named_parameters():
            totals[name] += parameter.grad.square() / len(batches)
    return totals


@needs_fusion_bench
def test_its_merges_are_those_of_its_own_fisher_matrices(tmp_path):
    setting = tiny_setting(tmp_path)
    models = run_fusion_bench(setting, {"batch_size": 1, "normalize": False, "minimal": 0.0, "damping": 0.5})
    fishers = [naive_fisher(setting, task) for task in setting.tasks]
    for number, task in enumerate(setting.tasks):
        theirs = torch.load(Path(models.folder.name) / f"fisher-{number}.pt", weights_only=True)
        for name, tensor in fishers[number].items():
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-7, msg=f"{task} {name}")
    entries = torch.cat([tensor.flatten() for fisher in fishers for tensor in fisher.values()])
    floor = 0.5 * float(entries.double().mean())
    for row, model in zip(setting.weights, models, strict=True):
        for name in setting.base:
            parts = [w * (fisher[name] + floor) for w, fisher in zip(row, fishers, strict=True)]
            mean = sum(p * tune[name] for p, tune in zip(parts, setting.finetunes.values(), strict=True)) / sum(parts)
            torch.testing.assert_close(model[name], mean.float(), rtol=1e-4, atol=1e-5)


@needs_fusion_bench
@pytest.mark.parametrize("kind", ["statistics", "heads"])
def test_both_ways_of_asking_it_give_models_and_their_price(tmp_path, kind):
    setting = tiny_setting(tmp_path, count=2, kind=kind)
    for method in fusion_bench_methods(True):
        found = method.find(setting)
        for model in found.models:
            assert set(model) == set(setting.base)
            assert all(bool(tensor.isfinite().all()) for tensor in model.values())
        assert found.cost.gradient_passes == 2 * 16
        assert found.cost.evaluations == (0 if "published" in method.name else 2 * 3)
        assert 0.2 < found.checks()["against_ours"]["rank_correlation"] <= 1


def test_it_takes_one_label_per_example(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSION_BENCH_PYTHON", "/bin/sh")
    setting = tiny_setting(tmp_path)
    require(setting)
    with pytest.raises(NotHere, match="one label per example, and this is 'causal'"):
        require(replace(setting, problem=replace(setting.problem, likelihood="causal")))


@pytest.mark.parametrize("kind", ["plain", "heads"])
def test_an_exported_model_answers_for_any_number_of_examples(tmp_path, kind):
    setting = tiny_setting(tmp_path, kind=kind)
    module = setting.problem.build().eval()
    graph = exported(module, next(split(setting, setting.tasks[0], 2))).module()
    for size in (1, 5, 16):
        inputs = next(split(setting, setting.tasks[1], size))
        expected = module(**inputs) if kind == "heads" else module(inputs)
        torch.testing.assert_close(graph(inputs), expected)


def test_a_model_that_cannot_be_exported_is_a_reason():
    class Deciding(nn.Module):
        def forward(self, inputs):
            return inputs if float(inputs.sum()) > 0 else -inputs

    with pytest.raises(NotHere, match="the model cannot be exported to its environment: "):
        exported(Deciding(), torch.ones(2, 3))


def test_its_code_sees_the_examples_that_our_curvature_sees(tmp_path):
    setting = tiny_setting(tmp_path)
    batches = list(split(setting, setting.tasks[0], 5))
    first = torch.cat([inputs for inputs, _ in setting.problem.batches(setting.tasks[0], "training")])[:16]
    assert torch.equal(torch.cat(batches), first)
    assert [len(batch) for batch in batches] == [5, 5, 5, 1]
