"""From a recipe without code to a front, and problems with a loss of their own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.problems.tiny_models import answers, bert, finetuned, gpt2, llama, reviews, write_jsonl
from tests.tiny import TASKS, invoke, recipe_of, write_recipe

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError, DataError, ParetomergeError, RecipeError
from paretomerge.stages import check_recipe, estimate_run_front, fit_run, open_study

SPLITS = {"training": 40, "validation": 30, "test": 20}


def _content(**changes: Any) -> dict[str, Any]:
    return {
        "base": "base",
        "tasks": {task: {"checkpoint": f"ft-{task}", "data": f"data/{task}"} for task in ("movie", "book")},
        "problem": "sequence_classification",
        "problem_settings": {"max_length": 12, "batch_size": 8},
        "posterior": {"family": "subspace", "settings": {"groups": "layer", "centres": 1}, "damping": 0.1},
        "front": {"evaluations": 4, "points": 6},
        "training": {"steps": 5, "examples_per_task": 4},
        **changes,
    }


def _write(folder: Path, **changes: Any) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(_content(**changes), sort_keys=False), encoding="utf-8")
    return path


def _checked(recipe: Path) -> object:
    return check_recipe(recipe, quick=True).raise_if_bad()


def _make(folder: Path, rows: Any = reviews, base: Any = bert) -> Path:
    base(folder / "base")
    for seed, task in enumerate(("movie", "book")):
        finetuned(folder / "base", folder / f"ft-{task}", seed)
        for number, (split, count) in enumerate(SPLITS.items()):
            write_jsonl(folder / "data" / task / f"{split}.jsonl", rows(count, seed=10 * number + seed))
    return folder


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    return _make(tmp_path / "study")


def test_from_a_recipe_without_code_to_a_front(study_folder: Path) -> None:
    study = open_study(_write(study_folder))
    assert [objective.name for objective in study.objectives] == [
        *("loss[movie]", "loss[book]"),
        *("accuracy[movie]", "accuracy[book]"),
    ]
    front = estimate_run_front(study).front
    assert front.tasks == ("movie", "book")
    assert all(abs(value - math.log(2)) < 0.3 for value in front.values[:, 0])


def test_the_command_line_goes_the_same_way(study_folder: Path) -> None:
    recipe = _write(study_folder)
    assert invoke("check", recipe).code == 0
    fitted = invoke("fit", recipe)
    assert fitted.code == 0, fitted.err
    assert (study_folder / "recipe-run" / "posteriors").is_dir()
    found = invoke("front", study_folder / "recipe-run", "--json")
    assert found.code == 0, found.err


@pytest.mark.filterwarnings("always")
def test_what_is_cut_is_said_in_one_line(study_folder: Path) -> None:
    recipe = _write(study_folder, problem_settings={"max_length": 5}, posterior={"family": "isotropic"})
    said = invoke("front", recipe).err.splitlines()
    cut = [line for line in said if "more than 5 tokens" in line]
    assert [line.startswith("warning: ") and line.count("/validation.jsonl") == 1 for line in cut] == [True, True]


def test_a_language_model_comes_from_files_too(tmp_path: Path) -> None:
    folder = _make(tmp_path / "study", answers, gpt2)
    (folder / "data/movie.csv").write_text(
        "prompt,response\n" + "".join(f'"{row["prompt"]}","{row["response"]}"\n' for row in answers(60))
    )
    tasks = {
        "movie": {"checkpoint": "ft-movie", "data": "data/movie.csv"},
        "book": {"checkpoint": "ft-book", "data": "data/book"},
    }
    settings = {"batch_size": 8, "shares": [0.5, 0.25, 0.25]}
    study = open_study(_write(folder, problem="causal_lm", problem_settings=settings, tasks=tasks))
    assert {objective.unit for objective in study.objectives} == {"nats per token", ""}
    front = estimate_run_front(study).front
    assert all(abs(value - math.log(19)) < 1 for value in front.values[:, 0])


def test_a_task_may_be_an_adapter_with_a_head_of_its_own(study_folder: Path) -> None:
    peft = pytest.importorskip("peft", reason="the optional extra hf is not installed")
    import transformers

    model = transformers.BertForSequenceClassification.from_pretrained(study_folder / "base")
    settings = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["query", "value"], modules_to_save=["classifier"])
    wrapped = peft.get_peft_model(model, settings)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    wrapped.save_pretrained(study_folder / "adapter")
    tasks = _content()["tasks"] | {"book": {"checkpoint": "adapter", "data": "data/book"}}
    study = open_study(_write(study_folder, tasks=tasks))
    assert study.finetunes["book"].is_adapter
    expected = wrapped.merge_and_unload().state_dict()
    for name, tensor in study.finetunes["book"].items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6, check_dtype=False)
    merged = next(iter(fit_run(study).models(np.array([[0.5, 0.5]]))))
    assert len(study.evaluator("test")(merged, "book")["loss"]) == SPLITS["test"]


def _digests(recipe: Path) -> dict[str, str]:
    study = open_study(recipe)
    return {split: study.problem_digest(split) for split in SPLITS}  # type: ignore[arg-type]


def test_digests_follow_contents_of_files_settings_and_configuration(study_folder: Path) -> None:
    recipe = _write(study_folder)
    first = _digests(recipe)
    assert first == _digests(recipe)
    assert len(set(first.values())) == 3
    write_jsonl(study_folder / "data/movie/test.jsonl", reviews(20, seed=77))
    changed = _digests(recipe)
    assert changed["training"] == first["training"]
    assert changed["test"] != first["test"]
    config = study_folder / "base/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layer_norm_eps": 1e-3}))
    assert _digests(recipe)["training"] != first["training"]
    (study_folder / "recipe-run").rename(study_folder / "old-run")
    _write(study_folder, problem_settings={"max_length": 12, "batch_size": 8, "examples": 10})
    assert _digests(recipe)["validation"] != changed["validation"]


def test_the_order_of_the_rows_of_a_file_does_not_matter(study_folder: Path) -> None:
    recipe = _write(study_folder)
    first = _digests(recipe)
    path = study_folder / "data/book/training.jsonl"
    path.write_text("\n".join(reversed(path.read_text().splitlines())))
    assert _digests(recipe) == first


def test_broken_examples_are_found_before_anything_is_measured(study_folder: Path) -> None:
    recipe = _write(study_folder)
    path = study_folder / "data/book/test.jsonl"
    path.write_text(path.read_text() + '{"text": "good", "label": "positiv"}\n')
    for find in (_checked, open_study):
        with pytest.raises(ParetomergeError, match="label"):
            find(recipe)
    path.write_text('{"text": "good"\n')
    with pytest.raises(DataError, match=r"book/test\.jsonl, line 1: this is not JSON"):
        _checked(recipe)
    assert not (study_folder / "recipe-run").exists()


def test_a_base_that_is_a_file_brings_the_folder_it_is_in(study_folder: Path) -> None:
    assert open_study(_write(study_folder, base="base/model.safetensors")).problem is not None
    (study_folder / "base/model.safetensors").rename(study_folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"there is no config\.json, so the architecture is unknown"):
        open_study(_write(study_folder, base="model.safetensors"))


def test_an_unknown_problem_names_the_nearest(study_folder: Path) -> None:
    for find in (open_study, _checked):
        with pytest.raises(RecipeError, match=r"'sequence_clasification' \(did you mean 'sequence_classification'\?\)"):
            find(_write(study_folder, problem="sequence_clasification", problem_settings={}))


@pytest.mark.slow
def test_measured_in_workers_as_in_this_process(study_folder: Path) -> None:
    front = {"evaluations": 3, "points": 4}
    alone = estimate_run_front(open_study(_write(study_folder, front=front))).front
    study = open_study(_write(study_folder, front=front | {"workers": 2}), study_folder / "workers-run")
    np.testing.assert_allclose(estimate_run_front(study).front.values, alone.values, rtol=1e-6)


OWN_LOSS = """
from dataclasses import replace

import torch

from problem_of_test import problem as plain


def loss_fn(module, batch):
    inputs, labels = batch
    return (module(inputs).softmax(-1) - torch.nn.functional.one_hot(labels, 3)).square().sum(-1)


def problem():
    return replace(plain(), loss_fn=loss_fn)
"""


def test_a_loss_of_the_problems_own_goes_all_the_way(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "problem_of_test.py").write_text((own / "problem.py").read_text())
    (own / "own.py").write_text(OWN_LOSS)
    monkeypatch.syspath_prepend(own)
    study = open_study(write_recipe(own, recipe_of(problem="own.py:problem", posterior={"family": "isotropic"})))
    assert study.problem is not None
    assert study.problem.loss_fn is not None
    assert [objective.name for objective in study.objectives] == [f"loss[{task}]" for task in TASKS]
    front = estimate_run_front(study).front
    assert float(front.values.max()) < 2  # a Brier score
    curved = recipe_of(problem="own.py:problem", posterior={"family": "diagonal", "damping": 0.1})
    with pytest.raises(DataError, match="a loss of its own"):
        fit_run(open_study(write_recipe(own, curved), own / "other-run"))


def test_token_accuracies_that_old_runs_lack_are_measured(tmp_path: Path) -> None:
    folder = _make(tmp_path / "study", answers, llama)
    study = open_study(_write(folder, problem="causal_lm", problem_settings={}))
    assert study.evaluator_digest("test") != study.problem_digest("test")
    assert set(study.evaluator("test")(open_checkpoint(folder / "base"), "movie")) == {"loss", "accuracy"}


def _quizzes(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [
        {"prompt": row["prompt"], "choices": ["yes .", "no", "very"], "answer": row["response"]}
        for row in answers(count, seed)
    ]


def test_choices_and_answers_of_a_language_model_come_from_files_too(tmp_path: Path) -> None:
    folder = _make(tmp_path / "study", _quizzes, llama)
    wanted = ["loss", "perplexity", "exact_match", "choice_accuracy", "choice_accuracy_norm"]
    section = {"metrics": wanted, "generation": {"max_new_tokens": 2}}
    settings = {"choices": "choices", "batch_size": 8}
    recipe = _write(folder, problem="causal_lm", problem_settings=settings, evaluator=section)
    study = open_study(recipe)
    assert [objective.name for objective in study.objectives if objective.task == "book"] == [
        f"{metric}[book]" for metric in wanted
    ]
    found = study.evaluator("test")(open_checkpoint(folder / "base"), "movie")
    assert list(found) == wanted
    assert {len(scores) for scores in found.values()} == {SPLITS["test"]}
    longer = {**section, "generation": {"max_new_tokens": 3}}
    other = open_study(_write(folder, problem="causal_lm", problem_settings=settings, evaluator=longer), tmp_path / "o")
    assert other.evaluator_digest("test") != study.evaluator_digest("test")
    assert other.problem_digest("test") == study.problem_digest("test")
