"""`Questions` of a Hugging Face language model: the examples of a problem as prompts with an answer or with choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike

from paretomerge.errors import DataError
from paretomerge.problems.batches import group_rows
from paretomerge.problems.models import ModelFolder
from paretomerge.problems.responses import Pair, ResponseColumns, Responses, read_responses
from paretomerge.problems.split_batches import SplitBatches, by_length
from paretomerge.problems.splits import Source, Splitting
from paretomerge.problems.tables import Table
from paretomerge.problems.tokens import Tokens
from paretomerge.types import Option, Question, Questions, Split

_GENERATION_CONFIG = "generation_config.json"


def causal_lm_questions(
    model: str | PathLike[str],
    data: Mapping[str, Source],
    *,
    prompt: str = "prompt",
    response: str = "response",
    choices: str | None = None,
    answer: str = "answer",
    max_length: int = 128,
    batch_size: int = 32,
    examples: int | None = None,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
) -> Questions:
    """What `causal_lm_problem` has as batches, as questions: the same examples in the same order.

    Prompts are tokenized as in the problem, with its start token. A choice is tokenized alone and follows the prompt
    without a space; the token that ends a text is no part of it. Where prompt and longest answer are longer than
    `max_length`, the prompt loses its beginning.

    Args:
        model: the folder of the base, with `config.json` and tokenizer, and with `generation_config.json` where other
            tokens than the tokenizer's own end an answer.
        data: task → folder, file or rows.
        prompt: the column of the prompt.
        response: the column of the right answer; not read where there are choices.
        choices: the column of a list of choices.
        answer: the column that says which choice is right: its text, its place counted from 0, or its letter A, B, ….
        max_length: tokens of prompt and answer at most, as those of the problem.
        batch_size: questions answered together.
        examples: of every task and split at most.
        shares: of training, validation and test where a task comes as one file.
        split_seed: of the shares and of the order of examples.

    Raises:
        DataError, CheckpointError: as `causal_lm_problem`; also where prompts are left out (`prompt: null`).
        MissingExtraError: transformers is not installed.
    """
    if prompt is None:
        raise DataError("prompt: whole texts ask nothing, so there is no answer to compare: name a column of prompts")
    columns = ResponseColumns(prompt, response, choices, answer)
    how = Splitting(tuple(shares), split_seed, examples)  # type: ignore[arg-type]
    encode, texts = read_responses(model, data, columns, how, max_length, batch_size)
    folder = encode.tokens.model
    return Questions(
        tuple(data),
        _Asked(texts, encode),
        encode.tokens.text,
        folder.padding,
        _ends(folder, encode.tokens),
        folder.longest,
        batch_size,
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """`(task, split) → questions`, read once each."""

    texts: SplitBatches
    encode: Responses
    made: dict[tuple[str, Split], list[Question]] = field(default_factory=dict, repr=False)

    def __call__(self, task: str, split: Split) -> list[Question]:
        if (task, split) not in self.made:
            table = self.texts.table(task, split)
            pairs = self.encode.pairs(table, f"{table.source} ({split})")
            questions = self._questions(table, pairs, f"{table.source} ({split})")
            lengths = [sum(map(len, self.encode.fit(*pair))) for pair in pairs]
            groups = group_rows(lengths, self.texts.batch_size, by_length=by_length(split))
            self.made[task, split] = [questions[row] for group in groups for row in group]
        return self.made[task, split]

    def _questions(self, table: Table, pairs: Sequence[Pair], source: str) -> list[Question]:
        options, right = self.encode.columns.options(table)
        answers = self.encode.columns.responses(table)
        # One call for all choices: tokenizers are slow to start.
        tokens = iter(self.encode.tokens.bare([choice for choices in options for choice in choices], source))
        found = []
        for row, (before, after) in enumerate(pairs):
            choices = [Option(text, tuple(next(tokens))) for text in options[row]]
            longest = max([after, *(list(choice.tokens) for choice in choices)], key=len)
            prompt, room = self.encode.fit(before, longest)
            cut = tuple(Option(choice.text, choice.tokens[: len(room)]) for choice in choices)
            found.append(Question(tuple(prompt), answers[row], cut, right[row], table.place(row)))
        return found


def _ends(folder: ModelFolder, tokens: Tokens) -> tuple[int, ...]:
    """The tokens that end an answer: the tokenizer's, the model's, and those it was told to stop at when it writes."""
    said = folder.side_file(_GENERATION_CONFIG)
    named = [folder.config.get("eos_token_id"), said.get("eos_token_id") if isinstance(said, dict) else None]
    every = [token for given in named for token in (given if isinstance(given, list) else [given])]
    return tuple(dict.fromkeys([*tokens.end, *(token for token in every if isinstance(token, int))]))
