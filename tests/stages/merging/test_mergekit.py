"""A mergekit configuration from file to merged checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from tests.checkpoints.vocabularies import make_model
from tests.recipes.mergekit.tiny_llama import NAMES, make_models, write_model
from tests.tiny import files_below

from paretomerge.checkpoints import MANIFEST, Repairs, open_checkpoint
from paretomerge.errors import AlignmentError, CheckpointError, InputError, RecipeError
from paretomerge.merging import Averaging, Slerp, TaskArithmetic, merge
from paretomerge.stages import MergeOptions, merge_mergekit
from paretomerge.types import PatternWeights

MODELS = make_models(2, torch.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: `base`, `a` and `b`."""
    for name, tensors in zip(("base", "a", "b"), MODELS, strict=True):
        write_model(tmp_path / name, tensors)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, **content: object) -> Path:
    path = folder / "merge.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def weighted(*weights: object) -> list[dict[str, object]]:
    return [
        {"model": name, "parameters": {"weight": weight}} for name, weight in zip(("a", "b"), weights, strict=False)
    ]


def in_memory(weights: object, rule: object) -> dict[str, torch.Tensor]:
    return merge({"a": MODELS[1], "b": MODELS[2]}, weights, rule=rule, base=MODELS[0])


def require_equal(path: Path, expected: dict[str, torch.Tensor]) -> None:
    opened = open_checkpoint(path)
    assert list(opened) == list(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(opened[name], tensor, rtol=1e-6, atol=1e-6)


def test_the_merge_is_written_with_the_configuration_that_made_it(folder: Path) -> None:
    config = write(folder, merge_method="task_arithmetic", base_model="base", models=weighted(0.6, -0.2))
    calls = []
    summary = merge_mergekit(folder / "out", config, advance=lambda *given: calls.append(given))
    require_equal(folder / "out", in_memory([0.6, -0.2], TaskArithmetic()))
    assert summary.paths == (str(folder / "out"),)
    assert summary.weights == ({"a": 0.6, "b": -0.2},)
    assert summary.tensors == len(NAMES) == len(calls)
    assert calls[-1][0] == calls[-1][1]
    manifest = json.loads((folder / "out" / MANIFEST).read_text())
    assert manifest["mergekit"] == config.read_text()
    assert manifest["weights"] == {"a": 0.6, "b": -0.2}
    assert manifest["rule"] == repr(TaskArithmetic())
    assert manifest["sources"] == {"base": "base", "a": "a", "b": "b"}
    assert json.loads((folder / "out" / "config.json").read_text())["torch_dtype"] == "float32"


def test_weights_that_differ_between_tensors_are_remembered_too(folder: Path) -> None:
    filters = [{"filter": "mlp", "value": 0.9}, {"value": 0.1}]
    config = write(folder, merge_method="task_arithmetic", base_model="base", models=weighted(filters, 0.5))
    summary = merge_mergekit(folder / "out", config)
    manifest = json.loads((folder / "out" / MANIFEST).read_text())
    own = manifest["weights_for"]
    assert own
    patterns = {pattern: [row["a"], row["b"]] for pattern, row in own.items()}
    default = [summary.weights[0]["a"], summary.weights[0]["b"]]
    require_equal(folder / "out", in_memory(PatternWeights(default, patterns), TaskArithmetic()))


@pytest.mark.parametrize(
    ("own", "asked", "expected"),
    [
        ({}, None, torch.float32),
        ({"dtype": "float32", "out_dtype": "bfloat16"}, None, torch.bfloat16),
        ({"dtype": "float16"}, None, torch.float16),
        ({"dtype": "float32", "out_dtype": "bfloat16"}, "float16", torch.float16),
    ],
)
def test_its_dtype_holds_unless_the_options_say_otherwise(folder: Path, own, asked, expected) -> None:
    config = write(folder, merge_method="linear", models=weighted(1, 3), **own)
    merge_mergekit(folder / "out", config, MergeOptions(dtype=asked))
    opened = open_checkpoint(folder / "out")
    assert {opened.spec(name).dtype for name in opened} == {expected}
    said = json.loads((folder / "out" / "config.json").read_text())["torch_dtype"]
    assert said == str(expected).removeprefix("torch.")
    truth = merge({"a": MODELS[1], "b": MODELS[2]}, [0.25, 0.75], rule=Averaging())
    assert torch.allclose(opened[NAMES[3]].float(), truth[NAMES[3]], rtol=1e-2, atol=1e-2)


def test_slerp_and_the_base_among_the_models(folder: Path) -> None:
    models = [{"model": "base"}, {"model": "a"}]
    config = write(folder, merge_method="slerp", base_model="base", models=models, parameters={"t": 0.3})
    summary = merge_mergekit(folder / "out", config)
    expected = merge({"base": MODELS[0], "a": MODELS[1]}, [0.7, 0.3], rule=Slerp())
    require_equal(folder / "out", expected)
    assert summary.weights == ({"base": 0.7, "a": 0.3},)


def test_what_is_drawn_at_random_follows_the_seed(folder: Path) -> None:
    config = write(
        folder, merge_method="dare_linear", base_model="base", models=weighted(0.5, 0.5), parameters={"density": 0.5}
    )
    summaries = [merge_mergekit(folder / f"out{k}", config, seed=seed) for k, seed in enumerate((0, 0, 1))]
    first, again, other = (open_checkpoint(folder / f"out{k}") for k in range(3))
    assert all(torch.equal(first[name], again[name]) for name in NAMES)
    assert not torch.equal(first[NAMES[3]], other[NAMES[3]])
    assert any("dare_linear drops elements at random" in warning for warning in summaries[0].warnings)


def test_repairs_are_made_as_for_any_merge(folder: Path) -> None:
    config = write(folder, merge_method="linear", base_model="base", models=[
        {"model": "base", "parameters": {"weight": 0}}, *weighted(1, 1)])  # fmt: skip
    merge_mergekit(folder / "out", config, repairs=Repairs(skip=("lm_head.*",)))
    opened = open_checkpoint(folder / "out")
    assert torch.equal(opened["lm_head.weight"], MODELS[0]["lm_head.weight"])
    assert torch.allclose(opened["model.norm.weight"], MODELS[1]["model.norm.weight"] / 2
                          + MODELS[2]["model.norm.weight"] / 2)  # fmt: skip


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ({"merge_method": "ties", "models": weighted(1, 1)}, RecipeError, "base_model"),
        ({"merge_method": "mystery", "models": weighted(1, 1)}, RecipeError, "mystery"),
        ({"merge_method": "linear", "models": weighted(1, 1), "dtype": "int4"}, (RecipeError, InputError), "int4"),
        ({"merge_method": "linear", "models": [{"model": "elsewhere", "parameters": {"weight": 1}}]},
         CheckpointError, "elsewhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_and_nothing_is_written(folder: Path, content, error, message: str) -> None:
    config = write(folder, **content)
    before = files_below(folder)
    with pytest.raises(error, match=message):
        merge_mergekit(folder / "out", config)
    assert files_below(folder) == before


def test_models_that_do_not_fit_are_refused(folder: Path) -> None:
    write_model(folder / "small", {name: tensor[:2] for name, tensor in MODELS[1].items()})
    config = write(folder, merge_method="linear", models=[{"model": "a", "parameters": {"weight": 1}},
                   {"model": "small", "parameters": {"weight": 1}}])  # fmt: skip
    with pytest.raises(AlignmentError, match="small"):
        merge_mergekit(folder / "out", config)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(("asked", "size"), [(None, 4), ("base", 3)])
def test_its_tokenizer_holds_unless_the_repairs_say_otherwise(tmp_path: Path, asked: str | None, size: int) -> None:
    make_model(tmp_path / "base", "abc")
    make_model(tmp_path / "a", "abcd", shift=0.125)
    models = [{"model": str(tmp_path / name), "parameters": {"weight": w}} for name, w in (("base", 0), ("a", 1))]
    content = {"merge_method": "linear", "base_model": str(tmp_path / "base"), "models": models}
    config = write(tmp_path, **content)
    with pytest.raises(AlignmentError, match="--tokenizer"):
        merge_mergekit(tmp_path / "none", config)
    config = write(tmp_path, **content, tokenizer_source="union")
    merge_mergekit(tmp_path / "out", config, MergeOptions(max_distance=10), Repairs(tokenizer=asked))
    assert open_checkpoint(tmp_path / "out").spec("embed_tokens.weight").shape == (size, 3)


def test_a_base_among_the_models_is_not_told_that_it_equals_itself(folder: Path) -> None:
    """Another model that equals the base is."""
    models = [{"model": "base"}, {"model": "a"}]
    config = write(folder, merge_method="slerp", base_model="base", models=models, parameters={"t": 0.3})
    assert merge_mergekit(folder / "out", config).warnings == ()
    write_model(folder / "copy", MODELS[0])
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("base", "copy", "a")]
    config = write(folder, merge_method="linear", base_model="base", models=models)
    (warning,) = merge_mergekit(folder / "second", config).warnings
    assert warning.startswith("warning: copy: is equal to the base")
    write_model(folder / "far", {name: tensor * -3 for name, tensor in MODELS[0].items()})
    models = [{"model": name, "parameters": {"weight": 1}} for name in ("base", "far")]
    config = write(folder, merge_method="linear", base_model="base", models=models)
    with pytest.raises(AlignmentError, match="far"):
        merge_mergekit(folder / "third", config)
