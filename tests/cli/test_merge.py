"""`merge` and `check` on checkpoints, without a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny import invoke, read_params

import paretomerge
from paretomerge.checkpoints import MANIFEST, open_checkpoint, write_params
from paretomerge.merging import Averaging, MergeRule, PosteriorMerge, TaskArithmetic, merge
from paretomerge.stages import merge_checkpoints
from paretomerge.types import Params

CONFIG = {
    "model_type": "tiny",
    "dtype": "float32",
    "text_config": {"torch_dtype": "float32", "layers": 2},
    "sizes": [{"dtype": "not a section"}],
}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base like a Hugging Face folder, with a counter, and two finetunes `a` and `b`."""
    generator = torch.Generator().manual_seed(0)

    def near(params: Params) -> Params:
        return {
            name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in params.items()
        }

    base = {
        "embed.weight": torch.randn(5, 4, generator=generator),
        "norm.count": torch.tensor(7),
        "head.weight": torch.randn(3, 4, generator=generator),
    }
    side = tmp_path / "side"
    side.mkdir()
    (side / "config.json").write_text(json.dumps(CONFIG))
    (side / "tokenizer.json").write_text('{"version": "1.0"}')
    write_params(tmp_path / "base", base, side_files=sorted(side.iterdir()))
    for name in ("a", "b"):
        write_params(tmp_path / name, near(base))
    return tmp_path


def _merge(models: Path, weights: str, *options: str, out: str = "merged") -> object:
    tasks = ("--task", f"a={models / 'a'}", "--task", f"b={models / 'b'}")
    return invoke("merge", models / out, "--base", models / "base", *tasks, "--weights", weights, *options)


def _library(models: Path, weights: dict[str, float], rule: MergeRule) -> Params:
    return merge(
        {name: read_params(models / name) for name in weights}, weights, rule=rule, base=read_params(models / "base")
    )


@pytest.mark.parametrize(
    ("name", "rule", "weights"),
    [
        ("posterior", PosteriorMerge(), {"a": 0.25, "b": 0.75}),
        ("averaging", Averaging(), {"a": 1.0, "b": 0.0}),
        ("task_arithmetic", TaskArithmetic(), {"a": 1.5, "b": -0.5}),
    ],
)
def test_merge_writes_what_the_library_merges(
    models: Path, name: str, rule: MergeRule, weights: dict[str, float]
) -> None:
    text = ",".join(f"{task}={weight}" for task, weight in weights.items())
    answer = _merge(models, text, "--rule", name, "--json").json
    assert answer["path"] == str(models / "merged")
    assert answer["weights"] == weights
    assert answer["tensors"] == 3
    assert answer["parameters"] == 5 * 4 + 1 + 3 * 4
    merged, expected = read_params(models / "merged"), _library(models, weights, rule)
    assert list(merged) == list(expected)
    assert all(torch.equal(merged[tensor], expected[tensor]) for tensor in expected)
    assert int(merged["norm.count"]) == 7


def test_the_function_behind_it_is_the_same(models: Path) -> None:
    _merge(models, "a=0.25,b=0.75")
    finetunes = {"a": models / "a", "b": models / "b"}
    merge_checkpoints(models / "again", models / "base", finetunes, {"a": 0.25, "b": 0.75})
    first, second = read_params(models / "merged"), read_params(models / "again")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_configuration_and_tokenizer_come_from_the_base(models: Path) -> None:
    _merge(models, "a=0.5,b=0.5")
    assert json.loads((models / "merged" / "config.json").read_text()) == CONFIG
    assert (models / "merged" / "tokenizer.json").read_text() == '{"version": "1.0"}'
    manifest = json.loads((models / "merged" / MANIFEST).read_text())
    assert manifest["weights"] == {"a": 0.5, "b": 0.5}


def test_another_dtype_is_written_and_said_in_every_section_of_the_configuration(models: Path) -> None:
    assert _merge(models, "a=0.5,b=0.5", "--dtype", "bfloat16").code == 0
    opened = open_checkpoint(models / "merged")
    assert opened.spec("embed.weight").dtype == torch.bfloat16
    assert opened.spec("norm.count").dtype == torch.int64
    config = json.loads((models / "merged" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert config["text_config"] == {"torch_dtype": "bfloat16", "layers": 2}
    assert config["sizes"] == CONFIG["sizes"]
    expected = _library(models, {"a": 0.5, "b": 0.5}, PosteriorMerge())
    assert torch.equal(opened["embed.weight"], expected["embed.weight"].bfloat16())
    assert (models / "merged" / "tokenizer.json").exists()


@pytest.mark.parametrize("rule", ["averaging", "posterior"])
def test_task_weights_may_not_be_negative_but_coefficients_may(models: Path, rule: str) -> None:
    answer = _merge(models, "a=1.5,b=-0.5", "--rule", rule)
    assert answer.code == 2
    assert "weights are negative: a=1.5, b=-0.5" in answer.err
    assert "task_arithmetic" in answer.err
    assert not (models / "merged").exists()
    assert _merge(models, "a=1.5,b=-0.5", "--rule", "task_arithmetic").code == 0


def test_the_same_merge_may_be_written_again_only_on_request(models: Path) -> None:
    _merge(models, "a=0.5,b=0.5")
    assert _merge(models, "a=0.0,b=1.0").code == 2
    assert _merge(models, "a=0.0,b=1.0", "--overwrite").code == 0
    assert torch.equal(read_params(models / "merged")["head.weight"], read_params(models / "b")["head.weight"])


def test_the_package_root_has_the_same_merge() -> None:
    assert paretomerge.merge is merge
