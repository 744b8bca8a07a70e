from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.problems.tiny_models import answers, bert, finetuned, gpt2, llama, transformers

import paretomerge
from paretomerge.checkpoints import open_checkpoint
from paretomerge.curvature import FitDiagonal, FitSubspace, fit_curvatures
from paretomerge.errors import CheckpointError, DataError
from paretomerge.evaluation import SupervisedEvaluator, supervised_objectives
from paretomerge.problems import causal_lm_problem
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Problem

START, END = 1, 2
PROMPT = {"prompt": "good film ?", "response": "yes ."}  # tokens 3, 7, 17 and 15, 18


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("models") / "base")


def _examples(problem: Problem, split: Any = "test") -> list[tuple[list[int], list[int]]]:
    """Tokens and targets without padding."""
    found = []
    for inputs, targets in problem.batches("a", split):
        for row, mask, goal in zip(inputs["input_ids"], inputs["attention_mask"], targets, strict=True):
            found.append((row[mask.bool()].tolist(), goal[mask.bool()].tolist()))
            assert set(goal[~mask.bool()].tolist()) <= {-100}
    return found


def _params(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def test_only_response_and_end_are_labelled(base: Path) -> None:
    ((tokens, targets),) = _examples(causal_lm_problem(base, {"a": {"test": [PROMPT]}}))
    assert tokens == [START, 3, 7, 17, 15, 18, END]
    assert targets == [-100, -100, -100, -100, 15, 18, END]


def test_without_a_prompt_all_of_the_text_is_labelled(base: Path) -> None:
    rows = [{"story": "good film ."}]
    problem = causal_lm_problem(base, {"a": {"test": rows}}, prompt=None, response="story")
    assert _examples(problem) == [([START, 3, 7, 18, END], [-100, 3, 7, 18, END])]


def test_a_tokenizer_that_writes_no_start_gets_none(tmp_path: Path) -> None:
    folder = llama(tmp_path / "base", start=False)
    assert _examples(causal_lm_problem(folder, {"a": {"test": [PROMPT]}}))[0][0] == [3, 7, 17, 15, 18, END]


@pytest.mark.parametrize("make", [llama, gpt2])
def test_losses_are_nats_per_token_as_transformers_counts_them(tmp_path: Path, make: Any) -> None:
    folder = make(tmp_path / "base")
    problem = causal_lm_problem(folder, {"a": {"test": answers(12)}}, batch_size=5)
    found = SupervisedEvaluator(problem)(_params(folder), "a")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    losses, hits = [], []
    for tokens, targets in _examples(problem):
        with torch.no_grad():
            given = model(input_ids=torch.tensor([tokens]), labels=torch.tensor([targets]))
        losses.append(float(given.loss))
        guesses = given.logits[0].argmax(-1).tolist()
        right = [guesses[i - 1] == target for i, target in enumerate(targets) if target != -100]
        hits.append(sum(right) / len(right))
    torch.testing.assert_close(found["loss"].tolist(), losses, rtol=1e-4, atol=1e-5)
    assert found["accuracy"].tolist() == pytest.approx(hits)
    assert abs(sum(losses) / 12 - math.log(19)) < 0.5


def test_objectives_are_loss_in_nats_per_token_and_accuracy(base: Path) -> None:
    objectives = supervised_objectives(causal_lm_problem(base, {"a": answers(9)}))
    assert [(objective.name, objective.unit) for objective in objectives] == [
        ("loss[a]", "nats per token"),
        ("accuracy[a]", ""),
    ]


@pytest.mark.parametrize(
    ("limit", "tokens", "labelled"),
    [
        (7, [START, 3, 7, 17, 15, 18, END], 3),
        (6, [START, 7, 17, 15, 18, END], 3),
        (4, [START, 15, 18, END], 3),
        (3, [START, 15, 18], 2),
        (2, [START, 15], 1),
    ],
)
def test_prompts_lose_their_beginning_then_responses_their_end(
    base: Path, limit: int, tokens: list[int], labelled: int
) -> None:
    problem = causal_lm_problem(base, {"a": {"test": [PROMPT]}}, max_length=limit)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ((found, targets),) = _examples(problem)
    assert found == tokens
    assert targets == [-100] * (len(tokens) - labelled) + tokens[-labelled:]
    said = [str(warning.message) for warning in caught]
    assert (len(said) == 1 and f"1 of 1 examples have more than {limit} tokens (the longest 7)" in said[0]) == (
        limit < 7
    )


def test_without_a_start_the_last_token_of_the_prompt_is_kept(tmp_path: Path) -> None:
    folder = llama(tmp_path / "base", start=False)
    with pytest.warns(UserWarning, match="more than 3 tokens"):
        assert _examples(causal_lm_problem(folder, {"a": {"test": [PROMPT]}}, max_length=3)) == [
            ([17, 15, 18], [-100, 15, 18])
        ]


def test_prompts_may_be_empty_and_responses_not(base: Path) -> None:
    rows = [{"prompt": "", "response": "yes"}]
    assert _examples(causal_lm_problem(base, {"a": {"test": rows}})) == [([START, 15, END], [-100, 15, END])]
    with pytest.raises(DataError, match="row 1: 'response' is empty"):
        causal_lm_problem(base, {"a": {"test": [{"prompt": "good ?", "response": " "}]}})


def test_a_token_that_predicts_nothing_is_named(tmp_path: Path) -> None:
    folder = llama(tmp_path / "base", start=False)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"eos_token": "</s>",', "").replace(',\n  "eos_token": "</s>"', ""))
    problem = causal_lm_problem(folder, {"a": {"test": [{"prompt": "", "response": "yes"}]}})
    with pytest.raises(DataError, match="row 1: one token alone predicts nothing: remove the row"):
        problem.batches("a", "test")


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"promt": "x", "response": "y"}], {}, r"no column 'prompt' \(did you mean 'promt'\?\): .* setting 'prompt'"),
        ([{"prompt": "x", "answer": "y"}], {}, "no column 'response'.* the setting 'response'"),
        ([{"prompt": "x", "response": 3}], {}, "'response' is '3' \\(int\\), not text"),
        ([{"prompt": "x", "response": "y"}], {"max_length": 1}, "max_length: must be at least 2"),
    ],
)
def test_bad_examples_are_refused_when_the_problem_is_made(base: Path, rows: Any, settings: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        causal_lm_problem(base, {"a": {"test": rows}}, **settings)


def test_models_without_a_language_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="BertForSequenceClassification, which has no head of the kind CausalLM"):
        causal_lm_problem(bert(tmp_path / "base"), {"a": answers(9)})


def test_equal_prompts_stay_in_one_split(base: Path) -> None:
    rows = [{"prompt": row["prompt"], "response": word} for row in answers(30) for word in ("yes", "no")]
    problem = causal_lm_problem(base, {"a": rows}, shares=(0.5, 0.25, 0.25))
    prompts = []
    for split in ("training", "validation", "test"):
        prompts.append({tuple(tokens[: targets.count(-100)]) for tokens, targets in _examples(problem, split)})
    assert not prompts[0] & prompts[1]
    assert not (prompts[0] | prompts[1]) & prompts[2]


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize(
    "method", [FitDiagonal("empirical"), FitSubspace("layer", centres=1)], ids=["diagonal", "subspace"]
)
def test_curvature_of_language_models_is_measured(tmp_path: Path, make: Any, method: Any) -> None:
    folder = make(tmp_path / "base")
    problem = causal_lm_problem(folder, {"a": answers(20), "b": answers(20, seed=1)}, batch_size=4)
    tunes = {task: _params(finetuned(folder, tmp_path / task, seed)) for seed, task in enumerate(problem.tasks)}
    found = fit_curvatures(problem, _params(folder), tunes, method)
    expected = SupervisedEvaluator(problem, "training")(tunes["a"], "a")["loss"].mean()
    assert found.losses["a"].at(tunes["a"]) == pytest.approx(float(expected), rel=0.2)


def test_a_language_model_learns_its_responses(base: Path) -> None:
    problem = causal_lm_problem(base, {"a": answers(100)}, shares=(0.8, 0.0, 0.2))
    start = _params(base)
    recipe = TrainingRecipe(steps=40, examples_per_task=16, learning_rate=2e-2)
    tuned = finetune(problem, start, {"a": 1.0}, recipe).params
    evaluator = SupervisedEvaluator(problem)
    assert float(evaluator(tuned, "a")["loss"].mean()) < 0.5 * float(evaluator(start, "a")["loss"].mean())


def test_it_is_public() -> None:
    assert paretomerge.causal_lm_problem is causal_lm_problem
