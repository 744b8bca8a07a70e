from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.problems.tiny_models import answers, bert, gpt2, llama, write_jsonl

import paretomerge
from paretomerge.errors import CheckpointError, DataError
from paretomerge.problems import causal_lm_problem, causal_lm_questions
from paretomerge.types import Problem, Questions

START, END = 1, 2
QUIZ = {"prompt": "good film ?", "choices": ["yes .", "no", "very very fine"], "answer": 1}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("models") / "base")


def _prompts(problem: Problem, split: Any) -> list[list[int]]:
    """What stands before the labels of each example, in the order of the batches."""
    return [
        row[mask.bool()][: int((targets[mask.bool()] == -100).sum())].tolist()
        for inputs, goals in problem.batches("a", split)
        for row, mask, targets in zip(inputs["input_ids"], inputs["attention_mask"], goals, strict=True)
    ]


@pytest.mark.parametrize("split", ["training", "validation", "test"])
@pytest.mark.parametrize("limit", [128, 6])
@pytest.mark.filterwarnings("ignore:.*are cut")
def test_questions_are_the_problems_examples_in_its_order(base: Path, split: Any, limit: int) -> None:
    settings: dict[str, Any] = {"batch_size": 4, "max_length": limit, "shares": (0.4, 0.3, 0.3), "examples": 21}
    problem = causal_lm_problem(base, {"a": answers(80)}, **settings)
    questions = causal_lm_questions(base, {"a": answers(80)}, **settings)
    assert [list(question.prompt) for question in questions.of("a", split)] == _prompts(problem, split)
    assert len(questions.of("a", split)) == 21


def test_a_question_has_prompt_answer_choices_and_place(tmp_path: Path, base: Path) -> None:
    path = write_jsonl(tmp_path / "a" / "test.jsonl", [QUIZ])
    questions = causal_lm_questions(base, {"a": path.parent}, choices="choices")
    (question,) = questions.of("a", "test")
    assert question.prompt == (START, 3, 7, 17)
    assert [choice.tokens for choice in question.choices] == [(15, 18), (16,), (10, 10, 5)]
    assert [choice.text for choice in question.choices] == QUIZ["choices"]
    assert (question.answer, question.right, question.place) == ("no", 1, f"{path}, line 1")
    assert (questions.padding, questions.ends, questions.longest, questions.batch_size) == (END, (END,), 32, 32)


def test_the_response_of_a_problem_with_choices_is_the_right_one(base: Path) -> None:
    problem = causal_lm_problem(base, {"a": {"test": [QUIZ]}}, choices="choices")
    ((inputs, targets),) = problem.batches("a", "test")
    assert inputs["input_ids"].tolist() == [[START, 3, 7, 17, 16, END]]
    assert targets.tolist() == [[-100, -100, -100, -100, 16, END]]


def test_all_choices_stand_behind_the_same_prompt_which_is_cut_for_the_longest(base: Path) -> None:
    """Five tokens leave start and one token of the prompt for the longest choice, and the right one is short."""
    (question,) = causal_lm_questions(base, {"a": {"test": [QUIZ]}}, choices="choices", max_length=5).of("a", "test")
    assert question.prompt == (START, 17)
    assert [choice.tokens for choice in question.choices] == [(15, 18), (16,), (10, 10, 5)]
    (question,) = causal_lm_questions(base, {"a": {"test": [QUIZ]}}, choices="choices", max_length=3).of("a", "test")
    assert question.prompt == (START,)
    assert [choice.tokens for choice in question.choices] == [(15, 18), (16,), (10, 10)]


def test_texts_come_back_without_special_tokens_and_with_their_spaces(base: Path) -> None:
    questions = causal_lm_questions(base, {"a": {"test": [QUIZ]}}, choices="choices")
    assert questions.decode([START, 3, 7, 18, END, END]) == "good film ."
    assert questions.decode([]) == ""


def test_answers_end_also_where_the_models_own_settings_say(tmp_path: Path) -> None:
    folder = gpt2(tmp_path / "base")
    rows = {"a": {"test": answers(3)}}
    assert causal_lm_questions(folder, rows).ends == (END,)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, END]}))
    assert causal_lm_questions(folder, rows).ends == (END, 7)
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"generation_config\.json is not JSON"):
        causal_lm_questions(folder, rows)


def test_they_are_read_once(base: Path) -> None:
    questions: Questions = causal_lm_questions(base, {"a": answers(40)})
    assert questions.of("a", "test") is questions.of("a", "test")
    assert questions.digest("test") != questions.digest("validation")


def test_what_cannot_be_asked_is_named(tmp_path: Path, base: Path) -> None:
    with pytest.raises(DataError, match="prompt: whole texts ask nothing"):
        causal_lm_questions(base, {"a": answers(9)}, prompt=None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"row 1: there is no column 'answer'.*setting 'answer'"):
        causal_lm_questions(base, {"a": {"test": [{"prompt": "x", "choices": ["a", "b"]}]}}, choices="choices")
    with pytest.raises(DataError, match=r"'choices' is 'yes' \(str\), not a list"):
        causal_lm_problem(base, {"a": {"test": [{**QUIZ, "choices": "yes"}]}}, choices="choices")
    with pytest.raises(DataError, match="max_length: must be at least 2"):
        causal_lm_questions(base, {"a": answers(9)}, max_length=1)
    with pytest.raises(CheckpointError, match="no head of the kind CausalLM"):
        causal_lm_questions(bert(tmp_path / "bert"), {"a": answers(9)})
    with pytest.raises(DataError, match="task 'a' has no validation examples"):
        causal_lm_questions(base, {"a": {"test": answers(9)}}).of("a", "validation")


def test_it_is_public() -> None:
    assert paretomerge.causal_lm_questions is causal_lm_questions
