"""Prompts and responses as they are written in data, and as token numbers."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from paretomerge.curvature.likelihoods import UNLABELLED
from paretomerge.errors import DataError, nearest
from paretomerge.problems.batches import Encoded
from paretomerge.problems.models import read_model
from paretomerge.problems.split_batches import SplitBatches, require_sizes
from paretomerge.problems.splits import Source, Splitting, read_splits
from paretomerge.problems.tables import Table
from paretomerge.problems.tokens import Tokens
from paretomerge.types import Split

Pair = tuple[list[int], list[int]]
"""The tokens before the response, and its own."""


@dataclass(frozen=True)
class ResponseColumns:
    """Which columns hold prompt and response.

    Args:
        prompt: of the prompt; `None` where texts have none.
        response: of the response; not read where there are choices.
        choices: of the list of choices, of which the right one is the response.
        answer: of the right choice: its text, its place counted from 0, or its letter.

    Raises:
        DataError: choices without a prompt.
    """

    prompt: str | None = "prompt"
    response: str = "response"
    choices: str | None = None
    answer: str = "answer"

    def __post_init__(self) -> None:
        """Refuse choices that answer nothing."""
        if self.choices is not None and self.prompt is None:
            raise DataError("choices: they answer a prompt, and prompt is null: name the column of the prompt")

    def read(self, data: Mapping[str, Source], how: Splitting) -> dict[str, dict[Split, Table]]:
        """Every task's rows by split, checked.

        Raises:
            DataError: missing columns, broken files, responses that are empty or no text, answers that are no choice.
        """
        key, setting = (self.response, "response") if self.prompt is None else (self.prompt, "prompt")
        tables = {task: read_splits(task, source, key, setting, how) for task, source in data.items()}
        for splits in tables.values():
            for table in splits.values():
                self.responses(table)
                self.prompts(table)
        return tables

    def prompts(self, table: Table) -> list[str]:
        """The prompt of each row, empty where texts have none."""
        return [""] * len(table) if self.prompt is None else table.texts(self.prompt, "prompt", may_be_empty=True)

    def responses(self, table: Table) -> list[str]:
        """The response of each row: the right choice where there are choices."""
        if self.choices is None:
            return table.texts(self.response, "response")
        return [choices[right] for choices, right in zip(*self.options(table), strict=True)]

    def options(self, table: Table) -> tuple[list[list[str]], list[int]]:
        """The choices of each row, and which is the right one; no choices, and zero, where there is no column of them.

        Raises:
            DataError: a row with fewer than two choices or an empty one, or an answer that is none of them.
        """
        if self.choices is None:
            return [[] for _ in range(len(table))], [0] * len(table)
        every = table.lists(self.choices, "choices")
        for row, choices in enumerate(every):
            if len(choices) < 2 or not all(choice.strip() for choice in choices):
                what = "a choice is empty" if len(choices) > 1 else f"{len(choices)} choice"
                raise DataError(f"{table.place(row)}: {what}: a question needs two choices or more, each with a text")
        answers = table.column(self.answer, "answer")
        return every, [
            _right(answer, choices, table.place(row))
            for row, (answer, choices) in enumerate(zip(answers, every, strict=True))
        ]


def _right(answer: Any, choices: Sequence[str], place: str) -> int:
    """Which choice an answer means: a text that is one of them, a place counted from 0, or a capital letter."""
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    number = _place(answer)
    if number is not None and 0 <= number < len(choices):
        return number
    what = f"{answer!r:.60}" + (nearest(answer, choices) if isinstance(answer, str) else "")
    raise DataError(
        f"{place}: the answer {what} is none of the {len(choices)} choices ({', '.join(map(repr, choices))}): give the "
        f"text of one, or its place from 0 to {len(choices) - 1}"
    )


def _place(answer: Any) -> int | None:
    if isinstance(answer, bool):
        return None
    if isinstance(answer, int) or (isinstance(answer, float) and answer.is_integer()):
        return int(answer)
    if not isinstance(answer, str):
        return None
    text = answer.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    return string.ascii_uppercase.index(text) if len(text) == 1 and text in string.ascii_uppercase else None


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses to prompts, encoded; only the response and what ends it are labelled."""

    columns: ResponseColumns
    tokens: Tokens

    def __call__(self, table: Table, source: str) -> Encoded:
        """Encode a table; `source` names it and its split in messages."""
        rows, targets, lengths = [], [], []
        for pair in self.pairs(table, source):
            lengths.append(sum(map(len, pair)))
            before, after = self.fit(*pair)
            rows.append(before + after)
            targets.append([UNLABELLED] * len(before) + after)
            if len(before) + len(after) < 2:
                raise DataError(f"{table.place(len(rows) - 1)}: one token alone predicts nothing: remove the row")
        cut = sum(length > self.tokens.limit for length in lengths)
        if cut:
            self.tokens.warn_of_cut(source, cut, len(rows), max(lengths))
        return Encoded(rows, targets)

    def pairs(self, table: Table, source: str) -> list[Pair]:
        """Start token and prompt, then response and end token, of each row."""
        responses = self.tokens.bare(self.columns.responses(table), source)
        prompts: Sequence[Sequence[int]] = [[] for _ in responses]
        if self.columns.prompt is not None:
            prompts = self.tokens.bare(self.columns.prompts(table), source)
        start, end = self.tokens.start, self.tokens.end
        return [([*start, *asked], [*answer, *end]) for asked, answer in zip(prompts, responses, strict=True)]

    def fit(self, before: list[int], after: list[int]) -> Pair:
        """Cut to the limit: the beginning of what comes before (but its start token), then the end of the rest."""
        limit, kept = self.tokens.limit, len(self.tokens.start)
        over = len(before) + len(after) - limit
        if over <= 0:
            return before, after
        # One token before the response stays: it predicts the response's first.
        least = min(len(before), max(kept, 1))
        over = min(over, len(before) - least)
        before = before[:kept] + before[kept + over :]
        return before, after[: limit - len(before)]


def read_responses(
    model: str | PathLike[str],
    data: Mapping[str, Source],
    columns: ResponseColumns,
    how: Splitting,
    max_length: int,
    batch_size: int,
) -> tuple[Responses, SplitBatches]:
    """A language model's examples: what encodes them, and their batches.

    Raises:
        DataError: sizes that leave nothing, or data as in `ResponseColumns.read`.
        CheckpointError: no such model, or one without a language model's head.
    """
    require_sizes(max_length=max_length, batch_size=batch_size)
    folder = read_model(model)
    folder.require("CausalLM")
    encode = Responses(columns, Tokens(folder, max_length))
    return encode, SplitBatches(columns.read(data, how), encode, folder.padding, batch_size)
