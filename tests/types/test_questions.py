from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paretomerge.errors import DataError, WeightsError
from paretomerge.types import Option, Question, Questions

ONE = Question((1, 5), "yes", (Option("yes", (15,)), Option("no", (16,))), 0, "a.jsonl, line 1")


def _questions(*asked: Question, **changes: Any) -> Questions:
    return replace(Questions(("a",), lambda task, split: asked, str), **changes)


def test_unknown_tasks_and_splits_and_empty_splits_are_named() -> None:
    assert _questions(ONE).of("a", "test") == (ONE,)
    with pytest.raises(WeightsError, match="unknown task 'b'"):
        _questions(ONE).of("b", "test")
    with pytest.raises(DataError, match="unknown split 'tset'"):
        _questions(ONE).of("a", "tset")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="validation split of task 'a' has no questions"):
        _questions().of("a", "validation")


def test_the_digest_is_of_what_scores_depend_on() -> None:
    """Choices, the right one, prompts, answers and ends count; where a question was found does not."""
    digest = _questions(ONE).digest("test")
    assert _questions(replace(ONE, place="b.jsonl, line 7")).digest("test") == digest
    others = [
        _questions(replace(ONE, prompt=(1, 6))),
        _questions(replace(ONE, answer="Yes")),
        _questions(replace(ONE, right=1)),
        _questions(replace(ONE, choices=(ONE.choices[0], Option("no", (17,))))),
        _questions(ONE, ONE),
        _questions(ONE, ends=(2,)),
        _questions(ONE, longest=8),
    ]
    assert len({digest, *(questions.digest("test") for questions in others)}) == len(others) + 1
