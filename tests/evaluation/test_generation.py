from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.problems.tiny_models import answers, gpt2, llama, transformers

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation import ExactMatchEvaluator
from paretomerge.problems import causal_lm_problem, causal_lm_questions
from paretomerge.types import Params, Problem, Question, Questions

ROWS = answers(30)


class _Model:
    """A random model that says something else to every prompt, its questions and its parameters."""

    def __init__(self, folder: Path, rows: Sequence[Any] = ROWS) -> None:
        self.folder, data = folder, {"a": {"test": rows}}
        self.problem: Problem = causal_lm_problem(folder, data, batch_size=7)
        self.questions: Questions = causal_lm_questions(folder, data, batch_size=7)
        checkpoint = open_checkpoint(folder)
        self.params: Params = {name: checkpoint[name] for name in checkpoint}
        self.module = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    @property
    def asked(self) -> Sequence[Question]:
        return self.questions.of("a", "test")

    def evaluator(self, **settings: Any) -> ExactMatchEvaluator:
        return ExactMatchEvaluator(self.problem.build, self.questions, **{"max_new_tokens": 8, **settings})

    def answers(self, stop: Sequence[str] = (), most: int = 8) -> list[str]:
        """One prompt at a time, without padding or cache, by the largest logit."""
        found = []
        for question in self.asked:
            tokens: list[int] = []
            text = ""
            room = min(most, 32 - len(question.prompt))
            while len(tokens) < room and not any(end in text for end in stop):
                with torch.no_grad():
                    logits = self.module(input_ids=torch.tensor([[*question.prompt, *tokens]])).logits[0, -1]
                if int(logits.argmax()) in self.questions.ends:
                    break
                tokens.append(int(logits.argmax()))
                text = self.questions.decode(tokens)
            for end in stop:
                text = text.split(end)[0]
            found.append(text)
        return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> _Model:
    return _Model(llama(tmp_path_factory.mktemp("models") / "base", initializer_range=1.0))


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("batch_size", [1, 4, None])
def test_answers_are_those_of_one_prompt_at_a_time(tmp_path: Path, make: Any, batch_size: int | None) -> None:
    own = _Model(make(tmp_path / "base", initializer_range=1.0))
    found = own.evaluator(batch_size=batch_size).answers(own.params, own.asked)
    assert found == own.answers()
    assert len(set(found)) > 10


def test_answers_end_at_stop_texts_which_are_no_part_of_them(model: _Model) -> None:
    stop = ("m g", "no")
    found = model.evaluator(stop=stop).answers(model.params, model.asked)
    assert found == model.answers(stop)
    assert found != model.answers()
    assert not any(end in text for end in stop for text in found)


def test_writing_stops_once_all_answers_have_come_to_a_stop(model: _Model) -> None:
    steps: list[int] = []
    for stop in ((), (" ",)):
        evaluator = model.evaluator(stop=stop, max_new_tokens=20)
        steps.append(0)
        evaluator._module.register_forward_hook(lambda module, given, out: steps.append(steps.pop() + 1))
        evaluator.answers(model.params, model.asked[:5])
    assert steps[1] < steps[0]


def test_answers_end_where_texts_end(model: _Model) -> None:
    ends = [len(text.split()) for text in model.evaluator(max_new_tokens=20).answers(model.params, model.asked)]
    assert min(ends) < 8 < max(ends)
    assert all("</s>" not in text for text in model.evaluator().answers(model.params, model.asked))


def test_the_score_is_one_where_the_answer_is_the_reference(model: _Model) -> None:
    """The references of every second question are what the model says, with space around them."""
    rows = [
        {"prompt": model.questions.decode(question.prompt), "response": f"  {text}\n" if number % 2 else "plot no plot"}
        for number, (question, text) in enumerate(zip(model.asked, model.answers(), strict=True))
        if text
    ]
    own = _Model(model.folder, rows)
    evaluator = own.evaluator()
    expected = [float(question.answer != "plot no plot") for question in own.asked]
    assert set(expected) == {0.0, 1.0}
    assert evaluator(own.params, "a")["exact_match"].tolist() == expected
    assert evaluator.count_examples("a") == len(rows)
    some = np.array([5, 0, 9])
    assert evaluator(own.params, "a", some)["exact_match"].tolist() == [expected[i] for i in some]
    assert not own.evaluator(normalise=())(own.params, "a")["exact_match"].any()


@pytest.mark.parametrize(
    ("how", "text", "same"),
    [
        (("strip",), " Yes .\n", "Yes ."),
        (("lowercase", "punctuation", "strip"), "Yes, sir!", "yes sir"),
        (("lowercase", "punctuation", "articles", "whitespace"), "The\n answer is: an  apple.", "answer is apple"),
        ("whitespace", " a \t b ", "a b"),
        ((), " a", " a"),
    ],
)
def test_normalisations_are_done_in_their_order(model: _Model, how: Any, text: str, same: str) -> None:
    assert model.evaluator(normalise=how).normalised(text) == same


def test_the_same_model_answers_the_same_after_another_one(model: _Model) -> None:
    evaluator = model.evaluator()
    first = evaluator.answers(model.params, model.asked)
    evaluator.answers({name: tensor.flip(0) for name, tensor in model.params.items()}, model.asked[:3])
    torch.manual_seed(1)
    assert evaluator.answers(model.params, model.asked) == first


def test_a_configuration_that_samples_is_overruled(model: _Model) -> None:
    evaluator = model.evaluator()
    evaluator._module.generation_config.update(do_sample=True, temperature=9.0, num_beams=3, max_length=2)
    assert evaluator.answers(model.params, model.asked) == model.answers()


def test_answers_fill_what_the_model_takes_and_no_more(tmp_path: Path) -> None:
    """Of 32 positions, long prompts leave less than 10; a short prompt beside them still gets its 10."""
    words = ["good", "film", "the", "plot"] * 7
    rows = [{"prompt": " ".join(words[:length]), "response": "yes"} for length in (1, 3, 20, 24, 26, 27, 28)]
    own = _Model(gpt2(tmp_path / "base", initializer_range=1.0), rows)
    found = own.evaluator(max_new_tokens=10, batch_size=7).answers(own.params, own.asked)
    rooms = [min(10, 32 - len(question.prompt)) for question in own.asked]
    assert sorted(rooms) == [3, 4, 5, 7, 10, 10, 10]
    assert found == own.answers(most=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: an answer needs at least one, got 0"),
        ({"batch_size": 0}, "batch_size: must be at least 1, got 0"),
        ({"stop": ["a", ""]}, "stop: an empty text ends every answer"),
        ({"normalise": ["lowercas"]}, r"normalise: unknown 'lowercas' \(did you mean 'lowercase'\?\): any of strip"),
    ],
)
def test_settings_that_cannot_be_used_are_named(model: _Model, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.evaluator(**settings)


def test_a_module_that_does_not_write_is_refused(model: _Model) -> None:
    with pytest.raises(EvaluationError, match="Linear has no method 'generate': give a Hugging Face language model"):
        ExactMatchEvaluator(lambda: torch.nn.Linear(2, 2), model.questions)


def test_an_empty_prompt_is_named(model: _Model) -> None:
    nothing = Question((), "yes", place="a.jsonl, line 3")
    with pytest.raises(DataError, match=r"a\.jsonl, line 3: the prompt is empty"):
        model.evaluator().answers(model.params, [nothing])


def test_what_goes_wrong_while_writing_is_an_error_of_the_evaluation(model: _Model) -> None:
    evaluator = model.evaluator()

    def broken(*given: Any, **named: Any) -> None:
        raise RuntimeError("out of memory")

    evaluator._module.forward = broken
    with pytest.raises(EvaluationError, match=r"LlamaForCausalLM\.generate failed on prompts of .*: out of memory"):
        evaluator(model.params, "a")
