"""`Questions`: prompts with an answer that can be said right or wrong, as token numbers.

The counterpart of a `Problem` for what a loss does not tell: whether a model's own answer, or the choice that it finds
likeliest, is the right one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from paretomerge.errors import DataError
from paretomerge.types.problem import Split, require_task_and_split


@dataclass(frozen=True)
class Option:
    """One of several answers.

    Args:
        text: as it is written.
        tokens: of the text, without any special ones.
    """

    text: str
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """A prompt and its right answer.

    Args:
        prompt: its tokens, with the start token if there is one.
        answer: the right answer's text.
        choices: the answers there are to choose from; none where the answer is free text.
        right: which choice is the right one.
        place: where it was found, for messages.
    """

    prompt: tuple[int, ...]
    answer: str
    choices: tuple[Option, ...] = ()
    right: int = 0
    place: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class Questions:
    """The questions of every task, and what it takes to read an answer.

    Args:
        tasks: task names.
        ask: `(task, split) → questions`, in the order in which the batches of the problem hold the same examples.
        decode: tokens → text, without special tokens.
        padding: the token that fills up.
        ends: tokens that finish an answer.
        longest: how many tokens the model takes at most, question and answer together; `None` for no limit.
        batch_size: questions answered together.
    """

    tasks: tuple[str, ...]
    ask: Callable[[str, Split], Sequence[Question]]
    decode: Callable[[Sequence[int]], str]
    padding: int = 0
    ends: tuple[int, ...] = ()
    longest: int | None = None
    batch_size: int = 32

    def of(self, task: str, split: Split) -> Sequence[Question]:
        """The questions of one task and split.

        Raises:
            WeightsError: an unknown task.
            DataError: an unknown split, or one without questions.
        """
        require_task_and_split(task, split, self.tasks)
        questions = self.ask(task, split)
        if not questions:
            raise DataError(
                f"the {split} split of task {task!r} has no questions: check the data path, filters and split sizes"
            )
        return questions

    def digest(self, split: Split) -> str:
        """What scores depend on: the questions of a split, in order, with their choices, and what ends an answer."""
        digest = hashlib.sha256(json.dumps([self.ends, self.longest]).encode())
        for task in self.tasks:
            for question in self.of(task, split):
                content = {**asdict(question), "place": task}
                digest.update(json.dumps(content, sort_keys=True).encode())
        return digest.hexdigest()
