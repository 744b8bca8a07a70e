"""`merge`: every option on tiny checkpoints, and what is said when it cannot be done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from tests.tiny import Answer, invoke, read_params

import paretomerge
from paretomerge.checkpoints import MANIFEST, open_checkpoint, save_posterior, write_params
from paretomerge.merging import Averaging, MergeRule, PosteriorMerge, TaskArithmetic, merge
from paretomerge.posteriors import Diagonal
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


def _merge(models: Path, weights: str, *options: str, out: str = "merged") -> Answer:
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
    assert answer["paths"] == [str(models / "merged")]
    assert answer["weights"] == [weights]
    assert answer["rule"] == repr(rule)
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


def test_the_answer_names_what_was_written(models: Path) -> None:
    answer = _merge(models, "a=0.25,b=0.75")
    assert answer.code == 0
    assert answer.err == ""
    first, second = answer.out.splitlines()
    assert first == f"{models / 'merged'}: a=0.25, b=0.75"
    assert second.startswith("3 tensors, 33 parameters, PosteriorMerge(), 0.")


def test_several_weights_write_several_models(models: Path) -> None:
    answer = _merge(models, "a=1,b=0", "--weights", "a=0.5,b=0.5", "--rule", "averaging")
    assert answer.code == 0
    assert answer.out.splitlines()[:2] == [
        f"{models / 'merged' / '1'}: a=1, b=0",
        f"{models / 'merged' / '2'}: a=0.5, b=0.5",
    ]
    assert torch.equal(read_params(models / "merged" / "1")["head.weight"], read_params(models / "a")["head.weight"])
    expected = _library(models, {"a": 0.5, "b": 0.5}, Averaging())
    assert torch.allclose(read_params(models / "merged" / "2")["head.weight"], expected["head.weight"])


def test_some_tensors_may_have_other_weights(models: Path) -> None:
    own = ("--weights-for", "head.*:a=1,b=0", "--weights-for", "em[ab]ed:x*:a=0,b=1")
    answer = _merge(models, "a=0.5,b=0.5", *own)
    assert answer.code == 2
    assert "no block of this merge is left for the pattern 'em[ab]ed:x*'" in answer.err
    assert _merge(models, "a=0.5,b=0.5", *own[:2]).code == 0
    merged = read_params(models / "merged")
    assert torch.equal(merged["head.weight"], read_params(models / "a")["head.weight"])
    manifest = json.loads((models / "merged" / MANIFEST).read_text())
    assert manifest["weights_for"] == {"head.*": {"a": 1.0, "b": 0.0}}


@pytest.mark.parametrize("text", ["head.*", ":a=1,b=0", "head.*=a=1", "a=1,b=0"])
def test_weights_for_a_pattern_are_shown_their_form(models: Path, text: str) -> None:
    answer = _merge(models, "a=0.5,b=0.5", "--weights-for", text)
    assert answer.code == 2
    assert "--weights-for" in answer.err
    assert "write it as PATTERN:a=0.6,b=0.4" in answer.err or "write a=0.6,b=0.4" in answer.err
    assert not (models / "merged").exists()


def test_settings_go_to_the_rule(models: Path) -> None:
    settings = ("--rule", "task_arithmetic", "--set", "scale=5e-1", "--set", "normalize=true")
    answer = _merge(models, "a=3,b=1", *settings, "--json").json
    rule = TaskArithmetic(0.5, True)
    assert answer["rule"] == repr(rule)
    merged, expected = read_params(models / "merged"), _library(models, {"a": 3.0, "b": 1.0}, rule)
    assert all(torch.equal(merged[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "scale"), "--set 'scale': write it as KEY=VALUE"),
        (("--set", "scale=2", "--set", "scale=3"), "--set 'scale' is given twice"),
        (("--set", "scael=2"), "has no setting 'scael' (did you mean 'scale'?)"),
        (("--set", "scale=large"), "the setting 'scale' cannot be 'large'"),
        (("--rule", "task_arithmetics"), "unknown rule 'task_arithmetics' (did you mean 'task_arithmetic'?)"),
        (("--dtype", "float8"), "unknown dtype 'float8': one of float16, bfloat16, float32, float64"),
        (("--accumulate", "bfloat16"), "unknown accumulate 'bfloat16': one of float32, float64"),
        (("--check", "some"), "unknown check 'some': one of sample, full, names"),
        (("--max-shard-size", "5GiB"), "--max-shard-size '5GiB': write it as 5GB or 200MB"),
        (("--device", "cuda:99"), "device 'cuda:99': PyTorch sees"),
        (("--device", "gpu"), "unknown device 'gpu': give cpu, cuda, or cuda:0 and so on"),
        (("--skip", "nothing.*"), "nothing.*"),
        (("--private", "nothing.*"), "nothing.*"),
        (("--rename", "a"), "--rename"),
        (("--tokenizer", "mine"), "--tokenizer 'mine': one of base, union"),
        (("--max-distance", "0"), "max_distance is 0.0: it must be positive"),
        (("--max-distance", "0.001"), "the limit is 0.001"),
    ],
)
def test_options_that_cannot_be_meant_are_answered_with_what_can(
    models: Path, options: tuple[str, ...], message: str
) -> None:
    rule = () if "--rule" in options else ("--rule", "task_arithmetic")
    answer = _merge(models, "a=0.5,b=0.5", *rule, *options)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (models / "merged").exists()


@pytest.mark.parametrize(
    "left_out",
    [("--base",), ("--task",), ("--weights",)],
)
def test_base_tasks_and_weights_are_needed(models: Path, left_out: tuple[str]) -> None:
    given = {"--base": [models / "base"], "--task": [f"a={models / 'a'}"], "--weights": ["a=1"]}
    arguments = [part for name, values in given.items() if name not in left_out for v in values for part in (name, v)]
    answer = invoke("merge", models / "merged", *arguments)
    assert answer.code == 2
    assert "give --base DIR, --task NAME=PATH for each task, and --weights; or --mergekit FILE" in answer.err


def test_sums_may_be_kept_in_float64(models: Path) -> None:
    assert _merge(models, "a=0.3,b=0.7", "--accumulate", "float64", "--dtype", "float64").code == 0
    merged = read_params(models / "merged")["head.weight"]
    wide = {task: read_params(models / task)["head.weight"].double() for task in "ab"}
    assert merged.dtype == torch.float64
    assert torch.allclose(merged, 0.3 * wide["a"] + 0.7 * wide["b"], rtol=1e-15, atol=1e-16)


def test_weight_files_are_cut_where_it_is_asked_for(models: Path) -> None:
    assert _merge(models, "a=0.5,b=0.5", "--max-shard-size", "0.05KB").code == 0
    assert len(list((models / "merged").glob("model-*-of-*.safetensors"))) == 3


def test_the_check_may_be_full_or_of_names_only(models: Path) -> None:
    broken = read_params(models / "b")
    broken["head.weight"] = torch.full((3, 4), torch.inf)
    write_params(models / "b", broken, overwrite=True)
    answer = _merge(models, "a=0.5,b=0.5", "--check", "names")
    assert answer.code == 2
    assert "the merged 'head.weight' has NaN or infinite entries: a finetune diverged" in answer.err
    for check in ("sample", "full"):
        answer = _merge(models, "a=0.5,b=0.5", "--check", check)
        assert answer.code == 2
        assert "base and finetunes do not fit each other, 1 problem" in answer.err
    assert not (models / "merged").exists()


def test_tensors_may_be_renamed_kept_per_task_and_left_out(models: Path) -> None:
    renamed = {f"net.{name}": tensor for name, tensor in read_params(models / "b").items()}
    write_params(models / "b", renamed | {"net.own": torch.ones(2)}, overwrite=True)
    assert _merge(models, "a=0.5,b=0.5").code == 2
    repairs = ("--rename", "b=net.:", "--private", "own", "--skip", "head.*")
    answer = _merge(models, "a=0.5,b=0.5", *repairs)
    assert (answer.code, answer.err) == (0, "")
    merged = read_params(models / "merged")
    assert torch.equal(merged["head.weight"], read_params(models / "base")["head.weight"])
    expected = (read_params(models / "a")["embed.weight"] + renamed["net.embed.weight"]) / 2
    assert torch.allclose(merged["embed.weight"], expected)
    assert open_checkpoint(models / "merged" / "private" / "b.safetensors")["own"].tolist() == [1, 1]


def test_posterior_files_are_tasks_too_and_what_they_do_not_know_is_counted(models: Path) -> None:
    for task in "ab":
        mean = {name: t for name, t in read_params(models / task).items() if t.is_floating_point()}
        precision = {name: torch.ones_like(tensor) for name, tensor in mean.items()}
        precision["head.weight"][0] = 0.0
        save_posterior(models / f"{task}.safetensors", Diagonal(mean, precision))
    tasks = ("--task", f"a={models / 'a.safetensors'}", "--task", f"b={models / 'b.safetensors'}")
    answer = invoke("merge", models / "merged", "--base", models / "base", *tasks, "--weights", "a=0.5,b=0.5")
    assert answer.code == 0
    assert answer.err.splitlines()[-1] == "elements without precision: 4"
    assert "the base it was fitted on is not named there" in answer.err
    answer = invoke("merge", models / "again", "--base", models / "base", *tasks, "--weights", "a=0.5,b=0.5", "--json")
    assert answer.json["counts"] == {"elements without precision": 4}
    assert "damping" not in json.loads((models / "again" / "paretomerge.json").read_text())
    common = ("--base", models / "base", *tasks, "--weights", "a=0.5,b=0.5", "--damping", "0.1")
    damped = invoke("merge", models / "damped", *common)
    assert "PosteriorMerge(), damping 0.1, " in damped.out
    assert json.loads((models / "damped" / "paretomerge.json").read_text())["damping"] == 0.1
    refused = invoke("merge", models / "ties", *common, "--rule", "ties")
    assert refused.code == 2
    assert "Ties merges the means of posteriors and no precisions" in refused.err
    assert invoke("merge", models / "mixture", *common, "--rule", "mixture").code == 0


def test_warnings_go_to_standard_error_and_into_json(models: Path) -> None:
    write_params(models / "b", read_params(models / "base"), overwrite=True)
    answer = _merge(models, "a=0.5,b=0.5", "--check", "full")
    assert answer.code == 0
    assert "warning: b: is equal to the base" in answer.err
    (warning,) = _merge(models, "a=0.5,b=0.5", "--check", "full", "--json", out="again").json["warnings"]
    assert warning in answer.err


def test_a_long_rule_is_cut_in_the_answer_only(models: Path) -> None:
    config = models / "merge.yml"
    content = {
        "merge_method": "task_arithmetic",
        "base_model": str(models / "base"),
        "models": [{"model": str(models / task), "parameters": {"weight": 0.5}} for task in "ab"],
        "parameters": {"lambda": [{"filter": "head", "value": 0.5}, {"value": 1}]},
    }
    config.write_text(yaml.safe_dump(content))
    answer = invoke("merge", models / "merged", "--mergekit", config)
    assert (answer.code, answer.err) == (0, "")
    assert "ByPattern(rules=(('head.*', TaskArithmetic(scale=0.5, normalize=False)),), default=" in answer.out
    assert max(len(line) for line in answer.out.splitlines()) < 200
    assert "..., 0." in answer.out
    manifest = json.loads((models / "merged" / MANIFEST).read_text())
    assert manifest["rule"].endswith("default=TaskArithmetic(scale=1.0, normalize=False))")
    base, a, b = (read_params(models / name) for name in ("base", "a", "b"))
    merged = read_params(models / "merged")
    for name, scale in (("head.weight", 0.5), ("embed.weight", 1.0)):
        expected = base[name] + scale * 0.5 * ((a[name] - base[name]) + (b[name] - base[name]))
        assert torch.allclose(merged[name], expected, atol=1e-6)
    assert int(merged["norm.count"]) == 7


@pytest.mark.parametrize(
    "more",
    [
        ("--base", "x"),
        ("--task", "a=x"),
        ("--weights", "a=1"),
        ("--weights-for", "x:a=1"),
        ("--rule", "ties"),
        ("--set", "k=1"),
    ],
)
def test_a_mergekit_configuration_brings_everything_itself(models: Path, more: tuple[str, str]) -> None:
    answer = invoke("merge", models / "merged", "--mergekit", models / "merge.yml", *more)
    assert answer.code == 2
    assert "--mergekit brings base, tasks, weights, rule and settings: leave those options out" in answer.err


def test_a_mergekit_configuration_that_is_not_there_is_said_so(models: Path) -> None:
    answer = invoke("merge", models / "merged", "--mergekit", models / "none.yml")
    assert answer.code == 2
    assert "none.yml" in answer.err
    assert "Traceback" not in answer.err


def test_a_disk_without_room_is_a_failure(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretomerge.checkpoints.writing.writer.free_bytes", lambda path: 10)
    answer = _merge(models, "a=0.5,b=0.5")
    assert answer.code == 1
    assert "GB are needed" in answer.err
    assert not (models / "merged").exists()


def test_json_is_printed_and_nothing_else(models: Path) -> None:
    answer = _merge(models, "a=0.5,b=0.5", "--weights", "a=1,b=0", "--json")
    content = answer.json
    assert answer.err == ""
    assert content["paths"] == [str(models / "merged" / "1"), str(models / "merged" / "2")]
    assert content["weights"] == [{"a": 0.5, "b": 0.5}, {"a": 1.0, "b": 0.0}]
    assert set(content) == {
        "paths",
        "tensors",
        "parameters",
        "weights",
        "rule",
        "seconds",
        "warnings",
        "counts",
        "damping",
    }


def test_the_package_root_has_the_same_merge() -> None:
    assert paretomerge.merge is merge


def test_the_seed_of_a_mergekit_configuration_decides_what_is_dropped(models: Path) -> None:
    config = models / "dare.yml"
    finetunes = [{"model": str(models / task), "parameters": {"weight": 0.5, "density": 0.5}} for task in "ab"]
    content = {"merge_method": "dare_linear", "base_model": str(models / "base"), "models": finetunes}
    config.write_text(json.dumps(content))  # JSON is YAML
    merged = {}
    for name, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        assert invoke("merge", models / name, "--mergekit", config, "--seed", seed).code == 0
        merged[name] = read_params(models / name)["embed.weight"]
    assert torch.equal(merged["first"], merged["again"])
    assert not torch.equal(merged["first"], merged["other"])
    answer = _merge(models, "a=0.5,b=0.5", "--seed", "1")
    assert answer.code == 2
    assert "--seed goes with --mergekit" in answer.err
