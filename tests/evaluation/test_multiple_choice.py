from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.problems.tiny_models import WORDS, gpt2, llama, reviews, transformers

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import DataError
from paretomerge.evaluation import MultipleChoiceEvaluator
from paretomerge.problems import causal_lm_problem, causal_lm_questions
from paretomerge.types import Option, Params, Question, Questions


def quizzes(count: int, choices: int = 4, longest: int = 3) -> list[dict[str, Any]]:
    """Random questions with random choices of 1 to `longest` words."""
    generator = torch.Generator().manual_seed(count)

    def draw(most: int) -> int:
        return int(torch.randint(0, most, (), generator=generator))

    return [
        {
            "prompt": row["text"] + " ?",
            "choices": [" ".join(WORDS[draw(16)] for _ in range(1 + draw(longest))) for _ in range(choices)],
            "answer": draw(choices),
        }
        for row in reviews(count)
    ]


def _params(folder: Path) -> Params:
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


def _evaluator(folder: Path, rows: Any, **settings: Any) -> MultipleChoiceEvaluator:
    data = {"a": {"test": rows}}
    problem = causal_lm_problem(folder, data, choices="choices")
    return MultipleChoiceEvaluator(
        problem.build, causal_lm_questions(folder, data, choices="choices", batch_size=7), **settings
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama(tmp_path_factory.mktemp("models") / "base", initializer_range=1.0)


def _naive(folder: Path, question: Question) -> list[float]:
    """One choice at a time, without padding."""
    module = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    found = []
    for choice in question.choices:
        tokens = [*question.prompt, *choice.tokens]
        with torch.no_grad():
            log_p = module(input_ids=torch.tensor([tokens])).logits[0].double().log_softmax(-1)
        found.append(sum(float(log_p[i - 1, tokens[i]]) for i in range(len(question.prompt), len(tokens))))
    return found


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize(("longest", "batch_size"), [(1, None), (3, None), (3, 1)])
def test_log_likelihoods_are_those_of_one_choice_at_a_time(
    tmp_path: Path, make: Any, longest: int, batch_size: int | None
) -> None:
    folder = make(tmp_path / "base", initializer_range=1.0)
    evaluator = _evaluator(folder, quizzes(8, longest=longest), batch_size=batch_size)
    asked = evaluator.questions.of("a", "test")
    found = evaluator.log_likelihoods(_params(folder), asked)
    for question, logs in zip(asked, found, strict=True):
        assert logs.tolist() == pytest.approx(_naive(folder, question), rel=1e-4, abs=1e-4)


def test_the_score_is_one_where_the_likeliest_choice_is_the_right_one(base: Path) -> None:
    evaluator = _evaluator(base, quizzes(40))
    asked = evaluator.questions.of("a", "test")
    logs = evaluator.log_likelihoods(_params(base), asked)
    found = evaluator(_params(base), "a")
    assert found["choice_accuracy"].tolist() == [
        float(int(each.argmax()) == q.right) for each, q in zip(logs, asked, strict=True)
    ]
    lengths = [[len(choice.text) for choice in question.choices] for question in asked]
    assert found["choice_accuracy_norm"].tolist() == [
        float(int((each / length).argmax()) == q.right) for each, length, q in zip(logs, lengths, asked, strict=True)
    ]
    assert found["choice_accuracy"].tolist() != found["choice_accuracy_norm"].tolist()
    some = np.array([7, 0, 31])
    part = evaluator(_params(base), "a", some)
    assert {name: scores.tolist() for name, scores in part.items()} == {
        name: scores[some].tolist() for name, scores in found.items()
    }
    assert evaluator.count_examples("a") == 40


def test_choices_of_one_token_share_a_forward_pass(base: Path) -> None:
    evaluator = _evaluator(base, quizzes(7, longest=1))
    rows: list[int] = []
    evaluator._module.register_forward_hook(lambda module, given, out: rows.append(len(out.logits)))
    evaluator(_params(base), "a")
    assert sum(rows) == 7


class _Fixed(torch.nn.Module):
    """Every token's logits are the same whatever came before."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(6, dtype=torch.float64))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(*input_ids.shape, 6)


def _fixed(*choices: Option, right: int = 0) -> MultipleChoiceEvaluator:
    question = Question((1, 2), choices[right].text, choices, right)
    return MultipleChoiceEvaluator(_Fixed, Questions(("a",), lambda task, split: [question], str))


def test_long_choices_are_not_punished_by_the_normalised_score() -> None:
    """Two tokens of `log p` = -log 6 each over 12 characters beat one over 5."""
    evaluator = _fixed(Option("tokens twice", (3, 4)), Option("token", (3,)))
    found = evaluator({"logits": torch.zeros(6, dtype=torch.float64)}, "a")
    assert (found["choice_accuracy"].tolist(), found["choice_accuracy_norm"].tolist()) == ([0.0], [1.0])


def test_the_space_before_a_choice_is_not_counted() -> None:
    """`-log 6 / 2` against `-2 log 6 / 4`: a draw that the first wins; with the space counted, the second would."""
    evaluator = _fixed(Option("ab", (3,)), Option(" abcd", (3, 4)))
    assert evaluator({"logits": torch.zeros(6, dtype=torch.float64)}, "a")["choice_accuracy_norm"].tolist() == [1.0]


def test_the_first_of_equal_choices_wins() -> None:
    params = {"logits": torch.zeros(6, dtype=torch.float64)}
    choices = Option("x", (3,)), Option("y", (4,))
    assert _fixed(*choices)(params, "a")["choice_accuracy"].tolist() == [1.0]
    assert _fixed(*choices, right=1)(params, "a")["choice_accuracy"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question((1,), "x", (), 0, "f.csv, line 2"), r"f\.csv, line 2: 0 choices: .* by the setting 'choices'"),
        (Question((1,), "x", (Option("x", (3,)),)), "a question: 1 choices"),
        (Question((), "x", (Option("x", (3,)), Option("y", (4,)))), "a question: the prompt is empty"),
        (Question((1,), "x", (Option("x", (3,)), Option("y", ()))), "the choice 'y' is blank, or no token"),
        (Question((1,), "x", (Option("x", (3,)), Option(" ", (4,)))), "the choice ' ' is blank, or no token"),
    ],
)
def test_questions_that_cannot_be_asked_are_named(question: Question, message: str) -> None:
    evaluator = MultipleChoiceEvaluator(_Fixed, Questions(("a",), lambda task, split: [question], str))
    with pytest.raises(DataError, match=message):
        evaluator({"logits": torch.zeros(6, dtype=torch.float64)}, "a")
    with pytest.raises(DataError, match="batch_size: must be at least 1, got 0"):
        MultipleChoiceEvaluator(_Fixed, evaluator.questions, batch_size=0)
