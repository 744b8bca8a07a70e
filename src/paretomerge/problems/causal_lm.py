"""`Problem`s of a Hugging Face language model: responses to prompts, or whole texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike

from paretomerge.curvature.likelihoods import UNLABELLED
from paretomerge.errors import DataError
from paretomerge.problems.batches import Encoded
from paretomerge.problems.models import BuildModel, read_model
from paretomerge.problems.split_batches import SplitBatches, require_sizes
from paretomerge.problems.splits import Source, Splitting, read_splits
from paretomerge.problems.tables import Table
from paretomerge.problems.tokens import Tokens
from paretomerge.types import Problem


def causal_lm_problem(
    model: str | PathLike[str],
    data: Mapping[str, Source],
    *,
    prompt: str | None = "prompt",
    response: str = "response",
    max_length: int = 128,
    batch_size: int = 32,
    examples: int | None = None,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
) -> Problem:
    """A problem of answering prompts, from a model's folder and rows of examples.

    An example is the tokenizer's start token (if it writes one), the prompt, the response and the end token (if there
    is one). Only response and end are labelled, so the loss of an example is the mean negative log likelihood of its
    response's tokens, in nats per token. The response follows the prompt without a space: have one of them bring it.

    Args:
        model: the folder of the base, with `config.json` and tokenizer. Its weights are not read.
        data: task → folder, file or rows, see `sequence_classification_problem`.
        prompt: the column of the prompt; `None` where texts have none and all of the response is labelled.
        response: the column of the response.
        max_length: tokens of an example at most: prompts lose their beginning, then responses their end, with a
            warning.
        batch_size: examples per batch of curvature and evaluation.
        examples: of every task and split at most, a random sample; all when `None`.
        shares: of training, validation and test where a task comes as one file. Prompts that occur twice stay together.
        split_seed: of the shares and of the order of examples.

    Raises:
        DataError: missing columns, broken files, responses that are empty or no text.
        CheckpointError: no such model, or one without a language model's head.
        MissingExtraError: transformers is not installed (when the problem is first used).
    """
    require_sizes(max_length=max_length, batch_size=batch_size)
    folder = read_model(model)
    folder.require("CausalLM")
    how = Splitting(tuple(shares), split_seed, examples)  # type: ignore[arg-type]
    key, setting = (response, "response") if prompt is None else (prompt, "prompt")
    tables = {task: read_splits(task, source, key, setting, how) for task, source in data.items()}
    for splits in tables.values():
        for table in splits.values():
            table.texts(response, "response")
            if prompt is not None:
                table.texts(prompt, "prompt", may_be_empty=True)
    encode = _Responses(prompt, response, Tokens(folder, max_length))
    texts = SplitBatches(tables, encode, folder.padding, batch_size)
    return Problem(tuple(data), BuildModel(folder.path.absolute(), "CausalLM"), texts, "causal")


@dataclass(frozen=True, eq=False)
class _Responses:
    """Responses to prompts, encoded."""

    prompt: str | None
    response: str
    tokens: Tokens

    def __call__(self, table: Table, source: str) -> Encoded:
        responses = self.tokens.bare(table.texts(self.response, "response"), source)
        prompts: Sequence[Sequence[int]] = [[] for _ in responses]
        if self.prompt is not None:
            prompts = self.tokens.bare(table.texts(self.prompt, "prompt", may_be_empty=True), source)
        rows, targets, lengths = [], [], []
        for asked, answered in zip(prompts, responses, strict=True):
            before, after = [*self.tokens.start, *asked], [*answered, *self.tokens.end]
            lengths.append(len(before) + len(after))
            before, after = _fit(before, after, self.tokens.limit, len(self.tokens.start))
            rows.append(before + after)
            targets.append([UNLABELLED] * len(before) + after)
            if len(before) + len(after) < 2:
                raise DataError(f"{table.place(len(rows) - 1)}: one token alone predicts nothing: remove the row")
        cut = sum(length > self.tokens.limit for length in lengths)
        if cut:
            self.tokens.warn_of_cut(source, cut, len(rows), max(lengths))
        return Encoded(rows, targets)


def _fit(before: list[int], after: list[int], limit: int, kept: int) -> tuple[list[int], list[int]]:
    """Cut to `limit` tokens: the beginning of what comes before (but its first `kept`), then the end of the rest."""
    over = len(before) + len(after) - limit
    if over <= 0:
        return before, after
    # One token before the response stays: it predicts the response's first.
    least = min(len(before), max(kept, 1))
    over = min(over, len(before) - least)
    before = before[:kept] + before[kept + over :]
    return before, after[: limit - len(before)]
