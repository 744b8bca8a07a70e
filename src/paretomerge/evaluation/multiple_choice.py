"""Multiple choice: the choice that the model finds likeliest after the prompt is the right one, or it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from paretomerge.errors import DataError
from paretomerge.types import Params, Question, Questions, Split, call_module, input_device, load_in_place

_Row = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MultipleChoiceEvaluator:
    """`(params, task) → {"choice_accuracy": [n], "choice_accuracy_norm": [n]}`: one where the right choice wins.

        choice_accuracy:        argmax_c Σ_i log p(token i of c | prompt, tokens before i)
        choice_accuracy_norm:   the same sum divided by the number of characters of the choice

    as `acc` and `acc_norm` of the Language Model Evaluation Harness (Gao et al., 2021); the first of equal choices
    wins. The space between prompt and choice is no character of the choice. Prompt and choice are tokenized apart, as
    in the problem's examples; the token that ends a text is no part of a choice.

    Args:
        build: makes the module, a language model.
        questions: what is asked, with choices.
        split: whose questions.
        batch_size: texts per forward pass; that of the questions by default.

    Raises:
        DataError: a batch size below one.
    """

    build: Callable[[], nn.Module]
    questions: Questions
    split: Split = "test"
    batch_size: int | None = None
    _module: nn.Module = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Build the module once."""
        if self.batch_size is not None and self.batch_size < 1:
            raise DataError(f"batch_size: must be at least 1, got {self.batch_size}")
        object.__setattr__(self, "_module", self.build().eval())

    def count_examples(self, task: str) -> int:
        """How many questions a task has."""
        return len(self.questions.of(task, self.split))

    def __call__(self, params: Params, task: str, examples: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Score one model on one task: on all questions, or on those with the given numbers, in their order.

        Raises:
            DataError: questions without choices, or a prompt or choice without any token.
        """
        every = self.questions.of(task, self.split)
        asked = every if examples is None else [every[int(number)] for number in examples]
        right, right_norm = [], []
        for question, logs in zip(asked, self.log_likelihoods(params, asked), strict=True):
            lengths = np.array([len(choice.text.lstrip()) for choice in question.choices], dtype=np.float64)
            right.append(int(np.argmax(logs)) == question.right)
            right_norm.append(int(np.argmax(logs / lengths)) == question.right)
        return {
            "choice_accuracy": np.array(right, dtype=np.float64),
            "choice_accuracy_norm": np.array(right_norm, dtype=np.float64),
        }

    def log_likelihoods(self, params: Params, asked: Sequence[Question]) -> list[np.ndarray]:
        """`Σ_i log p(token i)` of every choice of every question, in nats.

        Raises:
            DataError: as when called.
        """
        for question in asked:
            _require_choices(question)
        load_in_place(self._module, params)
        # What comes before the last token of a choice; choices of one token share it, and so one forward pass.
        texts: dict[_Row, list[tuple[int, int]]] = {}
        for number, question in enumerate(asked):
            for place, choice in enumerate(question.choices):
                texts.setdefault(question.prompt + choice.tokens[:-1], []).append((number, place))
        found = [np.zeros(len(question.choices)) for question in asked]
        with torch.no_grad():
            for row, logits in self._logits(list(texts)):
                for number, place in texts[row]:
                    tokens = torch.tensor(asked[number].choices[place].tokens, device=logits.device)
                    start = len(asked[number].prompt) - 1
                    log_p = logits[start : start + len(tokens)].log_softmax(-1)
                    found[number][place] = float(log_p.gather(-1, tokens[:, None]).double().sum())
        return found

    def _logits(self, rows: Sequence[_Row]) -> Iterator[tuple[_Row, Tensor]]:
        """Each text with the logits of what follows each of its tokens, `[L, V]`."""
        size = self.batch_size or self.questions.batch_size
        device = input_device(self._module)
        ordered = sorted(rows, key=len)
        for start in range(0, len(ordered), size):
            group = ordered[start : start + size]
            tokens = torch.full((len(group), len(group[-1])), self.questions.padding, dtype=torch.long)
            mask = torch.zeros_like(tokens)
            for number, row in enumerate(group):
                tokens[number, : len(row)] = torch.tensor(row, dtype=torch.long)
                mask[number, : len(row)] = 1
            outputs = call_module(self._module, {"input_ids": tokens.to(device), "attention_mask": mask.to(device)})
            for row, logits in zip(group, outputs, strict=True):
                yield row, logits[: len(row)]


def _require_choices(question: Question) -> None:
    place = question.place or "a question"
    if len(question.choices) < 2:
        raise DataError(
            f"{place}: {len(question.choices)} choices: choice accuracy needs questions with at least two; name their "
            "column by the setting 'choices'"
        )
    if not question.prompt:
        raise DataError(f"{place}: the prompt is empty: remove the row")
    for choice in question.choices:
        if not choice.tokens or not choice.text.strip():
            raise DataError(f"{place}: the choice {choice.text!r} is blank, or no token for the tokenizer: correct it")
