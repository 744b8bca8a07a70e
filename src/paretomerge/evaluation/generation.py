"""Exact match: the model writes its answer, token by token the likeliest one, and it is the reference or it is not.

Prompts of like length are answered together, padded on the left. Nothing is sampled, so the same model gives the same
answers; in another batch (racing scores parts of the examples) sums are rounded otherwise, which can turn a tie.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretomerge.errors import DataError, EvaluationError, MissingExtraError, nearest
from paretomerge.types import Params, Question, Questions, Split, input_device, load_in_place

_ARTICLES = ("a", "an", "the")

NORMALISATIONS: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "lowercase": str.lower,
    "punctuation": lambda text: text.translate(str.maketrans("", "", string.punctuation)),
    "articles": lambda text: " ".join(word for word in text.split() if word.lower() not in _ARTICLES),
    "whitespace": lambda text: " ".join(text.split()),
}
"""What can be done to answers and references before they are compared, in the order in which it is named."""


@dataclass(frozen=True, eq=False)
class ExactMatchEvaluator:
    """`(params, task) → {"exact_match": [n]}`: one where the model's own answer is the reference, else zero.

    An answer ends at a token that finishes texts, at one of the `stop` texts (which are no part of it), or after
    `max_new_tokens`; earlier where question and answer would be longer than the model takes.

    Args:
        build: makes the module, whose `generate` writes the answers, as that of Hugging Face language models.
        questions: what is asked, such as `causal_lm_questions` reads.
        split: whose questions.
        max_new_tokens: tokens of an answer at most.
        stop: texts at which an answer ends.
        batch_size: prompts answered together; that of the questions by default.
        normalise: what is done to both texts before they are compared: names of `NORMALISATIONS`, in their order.

    Raises:
        DataError: settings that cannot be used.
        EvaluationError: a module that cannot write.
    """

    build: Callable[[], nn.Module]
    questions: Questions
    split: Split = "test"
    max_new_tokens: int = 32
    stop: Sequence[str] = ()
    batch_size: int | None = None
    normalise: Sequence[str] = ("strip",)
    _module: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the settings and build the module once."""
        for name in ("stop", "normalise"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        _require_settings(self)
        object.__setattr__(self, "_module", self.build().eval())
        if not callable(getattr(self._module, "generate", None)):
            raise EvaluationError(
                f"exact match needs a model that writes, and {type(self._module).__name__} has no method 'generate': "
                "give a Hugging Face language model, or an evaluator function of your own"
            )

    def count_examples(self, task: str) -> int:
        """How many questions a task has."""
        return len(self.questions.of(task, self.split))

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Score one model on one task: on all questions, or on those with the given numbers, in their order."""
        asked = _chosen(self.questions.of(task, self.split), examples)
        answers = self.answers(params, asked)
        hits = [
            self.normalised(answer) == self.normalised(question.answer)
            for answer, question in zip(answers, asked, strict=True)
        ]
        return {"exact_match": np.array(hits, dtype=np.float64)}

    def answers(self, params: Params, asked: Sequence[Question]) -> list[str]:
        """What a model answers to each question, up to where its answer ends.

        Raises:
            DataError: a prompt without any token.
            EvaluationError: the model cannot write.
        """
        load_in_place(self._module, params)
        answers = [""] * len(asked)
        for group, room in self._groups(asked):
            for number, answer in zip(group, self._write([asked[i].prompt for i in group], room), strict=True):
                answers[number] = answer
        return answers

    def normalised(self, text: str) -> str:
        """An answer or a reference as it is compared."""
        for name in self.normalise:
            text = NORMALISATIONS[name](text)
        return text

    def _groups(self, asked: Sequence[Question]) -> Iterable[tuple[list[int], int]]:
        """Questions answered together, and how many tokens their answers may have."""
        longest, size = self.questions.longest, self.batch_size or self.questions.batch_size
        group: list[int] = []
        room = self.max_new_tokens
        for number in sorted(range(len(asked)), key=lambda i: len(asked[i].prompt)):
            length = len(asked[number].prompt)
            if not length:
                raise DataError(f"{asked[number].place or 'a question'}: the prompt is empty: remove the row")
            own = self.max_new_tokens if longest is None else max(1, min(self.max_new_tokens, longest - length))
            # An answer must not be cut because a longer prompt stands beside it.
            if group and (len(group) == size or own != room):
                yield group, room
                group = []
            group.append(number)
            room = own
        if group:
            yield group, room

    def _write(self, prompts: Sequence[Sequence[int]], room: int) -> list[str]:
        tokens, mask = _left_padded(prompts, self.questions.padding)
        device = input_device(self._module)
        settings, criteria = self._generation(room, tokens.shape[1])
        try:
            with torch.no_grad():
                written = self._module.generate(  # type: ignore[operator]
                    input_ids=tokens.to(device),
                    attention_mask=mask.to(device),
                    generation_config=settings,
                    stopping_criteria=criteria,
                )
        except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, IndexError) as error:
            raise EvaluationError(
                f"{type(self._module).__name__}.generate failed on prompts of {tokens.shape[1]} tokens: {error}"
            ) from error
        return [self._text(row[tokens.shape[1] :].tolist()) for row in written]

    def _generation(self, room: int, start: int) -> tuple[Any, Any]:
        """Settings of a greedy search, and what else ends it."""
        try:
            from transformers import GenerationConfig, StoppingCriteriaList
        except ImportError as error:
            raise MissingExtraError.of("transformers", "hf") from error
        settings = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=room,
            use_cache=True,
            pad_token_id=self.questions.padding,
            eos_token_id=list(self.questions.ends) or None,
        )
        return settings, StoppingCriteriaList([_Stopped(self.questions.decode, self.stop, start)] if self.stop else [])

    def _text(self, tokens: Sequence[int]) -> str:
        """An answer up to where it ends."""
        ends = [tokens.index(end) for end in self.questions.ends if end in tokens]
        text = self.questions.decode(tokens[: min(ends, default=len(tokens))])
        places = [text.find(stop) for stop in self.stop if stop in text]
        return text[: min(places, default=len(text))]


@dataclass(frozen=True, eq=False)
class _Stopped:
    """Says which answers have come to a stop text; answers begin at `start`."""

    decode: Callable[[Sequence[int]], str]
    stop: Sequence[str]
    start: int

    def __call__(self, tokens: Tensor, scores: Any, **settings: Any) -> Tensor:
        texts = [self.decode(row[self.start :].tolist()) for row in tokens]
        stopped = [any(stop in text for stop in self.stop) for text in texts]
        return torch.tensor(stopped, dtype=torch.bool, device=tokens.device)


def _require_settings(evaluator: ExactMatchEvaluator) -> None:
    if evaluator.max_new_tokens < 1:
        raise DataError(f"max_new_tokens: an answer needs at least one, got {evaluator.max_new_tokens}")
    if evaluator.batch_size is not None and evaluator.batch_size < 1:
        raise DataError(f"batch_size: must be at least 1, got {evaluator.batch_size}")
    if not all(evaluator.stop):
        raise DataError("stop: an empty text ends every answer before it begins: remove it")
    for name in evaluator.normalise:
        if name not in NORMALISATIONS:
            raise DataError(
                f"normalise: unknown {name!r}{nearest(name, NORMALISATIONS)}: any of {', '.join(NORMALISATIONS)}"
            )


def _chosen(questions: Sequence[Question], examples: np.ndarray | None) -> Sequence[Question]:
    return questions if examples is None else [questions[int(number)] for number in examples]


def _left_padded(rows: Sequence[Sequence[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Tokens and attention mask `[m, L]`; texts end at the same place, so that all go on from there."""
    length = max(map(len, rows))
    tokens = torch.full((len(rows), length), padding, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    for number, row in enumerate(rows):
        tokens[number, length - len(row) :] = torch.tensor(list(row), dtype=torch.long)
        mask[number, length - len(row) :] = 1
    return tokens, mask
