from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.evaluation.harness.local_tasks import own_run, tiny_model, write_tasks
from tests.problems.tiny_models import finetuned, inside

from paretomerge.checkpoints import Checkpoint, open_checkpoint
from paretomerge.errors import AlignmentError, DataError, EvaluationError
from paretomerge.evaluation import (
    HarnessEvaluator,
    HarnessSettings,
    HarnessTask,
    LanguageModel,
    evaluate_one,
    harness_objectives,
)

TASKS = {
    "choices": HarnessTask("tiny_choices"),
    "answers": HarnessTask("tiny_answers"),
    "texts": HarnessTask("tiny_texts"),
    "shots": HarnessTask("tiny_choices", few_shot=2),
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("lm_eval") / "tasks")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def settings(tasks: Path) -> HarnessSettings:
    return HarnessSettings((str(tasks),), batch_size=1)


@pytest.fixture(scope="module")
def evaluate(base: Path, settings: HarnessSettings) -> HarnessEvaluator:
    return HarnessEvaluator(_model(open_checkpoint(base)).build, TASKS, settings)


def _model(checkpoint: Checkpoint) -> LanguageModel:
    return LanguageModel(checkpoint.side_files, torch.float32)


def _numbers(results: Any, name: str) -> dict[str, float]:
    return {key: value for key, value in results["results"][name].items() if "," in key and "_stderr," not in key}


@pytest.mark.parametrize("merged", [False, True])
def test_scores_are_the_numbers_that_lm_eval_reports_of_the_same_folder(
    tmp_path: Path, base: Path, tasks: Path, evaluate: HarnessEvaluator, merged: bool
) -> None:
    folder = finetuned(base, tmp_path / "ft", seed=1, size=0.3) if merged else base
    if merged:
        for file in base.iterdir():
            if file.suffix != ".safetensors" and not (folder / file.name).exists():
                (folder / file.name).write_bytes(file.read_bytes())
    params = open_checkpoint(folder)
    with inside(tasks):
        theirs = own_run(folder, tasks, ["tiny_choices", "tiny_answers", "tiny_texts"])
        shots = own_run(folder, tasks, ["tiny_choices"], num_fewshot=2)
    ours = {task: {metric: float(np.mean(found)) for metric, found in evaluate(params, task).items()} for task in TASKS}
    assert [ours["choices"]["acc"], ours["choices"]["acc_norm"]] == list(_numbers(theirs, "tiny_choices").values())
    assert [ours["answers"]["exact_match/whole"], ours["answers"]["exact_match/first word"]] == list(
        _numbers(theirs, "tiny_answers").values()
    )
    assert [ours["texts"]["word_perplexity"], ours["texts"]["bits_per_byte"]] == list(
        _numbers(theirs, "tiny_texts").values()
    )
    assert [ours["shots"]["acc"], ours["shots"]["acc_norm"]] == list(_numbers(shots, "tiny_choices").values())


def test_means_come_as_one_score_per_example_and_other_numbers_with_their_error(
    base: Path, evaluate: HarnessEvaluator
) -> None:
    params = open_checkpoint(base)
    assert evaluate(params, "choices")["acc"].shape == (24,)
    found = evaluate(params, "texts")
    assert isinstance(found["word_perplexity"], float)
    assert isinstance(found["word_perplexity_stderr"], float)
    assert found["word_perplexity_stderr"] > 0
    evaluation = evaluate_one(params, evaluate, harness_objectives({"texts": TASKS["texts"]}, evaluate.settings))
    assert evaluation.stderr[0] == found["word_perplexity_stderr"]


def test_the_same_model_scores_the_same_again_also_with_drawn_examples_in_its_prompts(
    base: Path, evaluate: HarnessEvaluator
) -> None:
    params = open_checkpoint(base)
    for task in ("answers", "shots"):
        once, again = evaluate(params, task), evaluate(params, task)
        for metric, scores in once.items():
            np.testing.assert_array_equal(scores, again[metric])


def test_some_examples_are_scored_in_their_order(base: Path, evaluate: HarnessEvaluator) -> None:
    params, numbers = open_checkpoint(base), np.array([17, 2, 9])
    whole = evaluate(params, "choices")
    assert len(set(whole["acc"][numbers])) == 2
    for metric, scores in evaluate(params, "choices", examples=numbers).items():
        np.testing.assert_array_equal(scores, whole[metric][numbers])


def test_parts_are_refused_for_what_is_no_mean(base: Path, evaluate: HarnessEvaluator) -> None:
    with pytest.raises(DataError, match=r"bits_per_byte, word_perplexity of .* no mean .* front.racing to false"):
        evaluate(open_checkpoint(base), "texts", examples=np.array([0, 1]))


def test_a_task_that_wants_no_examples_in_its_prompts_keeps_to_it(tmp_path: Path, base: Path) -> None:
    write_tasks(tmp_path)
    with (tmp_path / "choices.yaml").open("a", encoding="utf-8") as file:
        file.write("num_fewshot: 0\n")
    settings = HarnessSettings((str(tmp_path),), batch_size=1)
    found = HarnessEvaluator(_model(open_checkpoint(base)).build, {"a": TASKS["shots"]}, settings)
    assert found.takes_examples


def test_racing_is_told_what_is_no_mean(base: Path, settings: HarnessSettings, evaluate: HarnessEvaluator) -> None:
    assert evaluate.not_means == ("word_perplexity", "bits_per_byte")
    picked = {"a": HarnessTask("tiny_choices"), "b": HarnessTask("tiny_texts", metric="bits_per_byte")}
    assert HarnessEvaluator(_model(open_checkpoint(base)).build, picked, settings).not_means == ("bits_per_byte",)


def test_a_limit_takes_the_first_examples(base: Path, settings: HarnessSettings, evaluate: HarnessEvaluator) -> None:
    params = open_checkpoint(base)
    limited = HarnessEvaluator(_model(params).build, {"a": HarnessTask("tiny_choices", limit=5)}, settings)
    assert (limited.count_examples("a"), evaluate.count_examples("choices")) == (5, 24)
    np.testing.assert_array_equal(limited(params, "a")["acc"], evaluate(params, "choices")["acc"][:5])


def test_parts_are_possible_without_drawn_examples_in_prompts_only(base: Path, settings: HarnessSettings) -> None:
    def build() -> Any:
        raise AssertionError

    assert HarnessEvaluator(build, {"a": TASKS["choices"]}, settings).takes_examples
    assert not HarnessEvaluator(build, {"a": TASKS["choices"], "b": TASKS["shots"]}, settings).takes_examples


def test_lm_eval_leaves_nothing_behind(
    base: Path, evaluate: HarnessEvaluator, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    import huggingface_hub

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    datasets.enable_progress_bars()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    evaluate(open_checkpoint(base), "answers")
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    assert capfd.readouterr() == ("", "")
    assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert datasets.is_progress_bar_enabled()
    assert "HF_HUB_OFFLINE" not in __import__("os").environ


def test_parameters_of_another_architecture_are_refused(tmp_path: Path, evaluate: HarnessEvaluator) -> None:
    other = open_checkpoint(tiny_model(tmp_path / "other"))
    params = {name: other[name] for name in other if "layers.0.mlp" not in name}
    with pytest.raises(AlignmentError, match="lack"):
        evaluate(params, "choices")


def test_an_unknown_task_of_ours_is_refused(base: Path, evaluate: HarnessEvaluator) -> None:
    with pytest.raises(DataError, match=r"no lm-eval task for 'choice' \(did you mean 'choices'\?\)"):
        evaluate(open_checkpoint(base), "choice")


def test_what_lm_eval_raises_is_said_with_the_task(
    base: Path, evaluate: HarnessEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lm_eval.evaluator

    def broken(**settings: Any) -> Any:
        raise ValueError("Attempted to run task: x which is marked as unsafe")

    monkeypatch.setattr(lm_eval.evaluator, "evaluate", broken)
    with pytest.raises(EvaluationError, match=r"task 'tiny_choices': ValueError: .*unsafe.*unsafe_code: true"):
        evaluate(open_checkpoint(base), "choices")
