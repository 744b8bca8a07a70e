"""`Problem`s of a Hugging Face language model: responses to prompts, choices, or whole texts."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from paretomerge.problems.models import BuildModel
from paretomerge.problems.responses import ResponseColumns, read_responses
from paretomerge.problems.splits import Source, Splitting
from paretomerge.types import Problem


def causal_lm_problem(
    model: str | PathLike[str],
    data: Mapping[str, Source],
    *,
    prompt: str | None = "prompt",
    response: str = "response",
    choices: str | None = None,
    answer: str = "answer",
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
        response: the column of the response; not read where there are choices.
        choices: the column of a list of choices; the right one is the response, see `causal_lm_questions`.
        answer: the column that says which choice is right: its text, its place counted from 0, or its letter A, B, ….
        max_length: tokens of an example at most: prompts lose their beginning, then responses their end, with a
            warning.
        batch_size: examples per batch of curvature and evaluation.
        examples: of every task and split at most, a random sample; all when `None`.
        shares: of training, validation and test where a task comes as one file. Prompts that occur twice stay together.
        split_seed: of the shares and of the order of examples.

    Raises:
        DataError: missing columns, broken files, responses that are empty or no text, answers that are no choice.
        CheckpointError: no such model, or one without a language model's head.
        MissingExtraError: transformers is not installed (when the problem is first used).
    """
    columns = ResponseColumns(prompt, response, choices, answer)
    how = Splitting(tuple(shares), split_seed, examples)  # type: ignore[arg-type]
    encode, texts = read_responses(model, data, columns, how, max_length, batch_size)
    return Problem(tuple(data), BuildModel(encode.tokens.model.path.absolute(), "CausalLM"), texts, "causal")
