"""Guesses which columns of a table hold texts, labels, prompts, responses and images.

First by the names that data sets usually give them, then by what the values are: sentences differ from row to row,
labels repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paretomerge.problems.tables import Table

SAMPLED = 1000
"""Rows that are looked at."""

MOST_LABELS = 200
"""A column with more different values than this holds no labels."""

NAMES: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "review", "content", "tweet", "comment", "document", "body", "sentence1", "text_a",
             "premise", "question1", "question", "message", "headline", "title", "query", "utterance"),
    "text_pair": ("text_pair", "sentence2", "text_b", "hypothesis", "question2", "passage", "context"),
    "label": ("label", "labels", "target", "class", "category", "sentiment", "gold_label", "y", "intent", "emotion",
              "topic", "fine_label", "coarse_label", "stars", "rating", "answer"),
    "prompt": ("prompt", "instruction", "question", "input", "query", "source", "context"),
    "response": ("response", "completion", "output", "answer", "target", "reply", "chosen", "summary"),
    "image": ("image", "img", "picture", "photo", "pixels", "image_path", "image_file", "file_name", "filename",
              "path", "file"),
    "choices": ("choices", "options", "endings", "candidates"),
    "answer": ("answer", "answer_key", "answerkey", "answer_index", "answer_idx", "correct", "gold", "label"),
}  # fmt: skip
"""What the column of each role is usually called, the likeliest first; capitals do not count."""

NUMBERING = ("id", "idx", "index", "guid", "uid", "row", "number")
"""Columns that only count rows."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""What files of images end in."""


@dataclass(frozen=True)
class Columns:
    """Names of columns by what they hold; `None` where none looks like it.

    Args:
        text, text_pair, label: of a classification of texts (`label` also of images).
        prompt, response: of a language model; texts without prompts are a response alone.
        image: images, or paths of image files.
        choices, answer: of questions with several answers, and which of them is right.
        why: role → what speaks for the column, for people to judge.
    """

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    prompt: str | None = None
    response: str | None = None
    image: str | None = None
    choices: str | None = None
    answer: str | None = None
    why: Mapping[str, str] = field(default_factory=dict)


def probe_columns(table: Table) -> Columns:
    """Guess the columns of a table, from their names and the first thousand rows.

    A name counts only where the values fit it: a column `label` that holds sentences is no label. Where no name is
    known, the text is the column with the longest values of which hardly any two are equal, and the label the one
    with the fewest different values, at least two.

    Args:
        table: rows of examples.

    >>> from paretomerge.problems.tables import table_of
    >>> rows = [{"id": i, "phrase": f"a film of {i} minutes", "mood": "good" if i % 3 else "bad"} for i in range(9)]
    >>> found = probe_columns(table_of(rows, "films"))
    >>> found.text, found.label, found.why["label"]
    ('phrase', 'mood', '2 different values')
    """
    columns = [_Column(name, *_looked_at(table, name)) for name in table.names]
    return _Guess(columns).columns()


def columns_like_labels(table: Table) -> list[str]:
    """The columns whose values look like labels, those of few different values first."""
    columns = [_Column(name, *_looked_at(table, name)) for name in table.names]
    there = [column for column in columns if column.is_label and column.different > 1]
    return [column.name for column in sorted(there, key=lambda column: column.different)]


@dataclass(frozen=True, eq=False)
class _Column:
    """A column and what its first values are; values that are missing do not count."""

    name: str
    values: Sequence[Any]
    classes: Sequence[str] | None

    @property
    def different(self) -> int:
        return len({value if isinstance(value, str | int | float) else str(value) for value in self.values})

    @property
    def length(self) -> float:
        """Characters of a value, on average."""
        return sum(len(str(value)) for value in self.values) / max(len(self.values), 1)

    @property
    def is_text(self) -> bool:
        return bool(self.values) and all(isinstance(value, str) for value in self.values)

    @property
    def is_sentence(self) -> bool:
        """Texts of which most are different and some have more than a word."""
        if not self.is_text or self.is_path:
            return False
        return self.different > len(self.values) / 2 and any(len(value.split()) > 1 for value in self.values)

    @property
    def is_path(self) -> bool:
        return self.is_text and all(value.lower().endswith(IMAGE_SUFFIXES) for value in self.values)

    @property
    def is_image(self) -> bool:
        """Encoded images, `{bytes, path}` as Hugging Face has them, or paths of image files."""
        if not self.values:
            return False
        return self.is_path or all(
            isinstance(value, bytes) or (isinstance(value, Mapping) and "bytes" in value) for value in self.values
        )

    @property
    def is_list(self) -> bool:
        return bool(self.values) and all(
            isinstance(value, list) and value and all(isinstance(part, str) for part in value) for value in self.values
        )

    @property
    def is_answer(self) -> bool:
        """Texts of any length, or whole numbers."""
        return self.is_label or (self.is_text and not self.is_path)

    @property
    def is_label(self) -> bool:
        """Short texts or whole numbers that repeat."""
        if self.classes is not None:
            return True
        if not self.values or self.is_path:
            return False
        kinds = all(
            isinstance(value, str | int) or (isinstance(value, float) and value.is_integer()) for value in self.values
        )
        repeats = self.different <= max(2, min(MOST_LABELS, len(self.values) / 2))
        return kinds and repeats and self.length <= 40


@dataclass(frozen=True, eq=False)
class _Guess:
    columns_found: Sequence[_Column]

    def columns(self) -> Columns:
        """Every role in turn; a label is never also the text."""
        found: dict[str, str] = {}
        why: dict[str, str] = {}

        def take(role: str, guess: tuple[_Column, str] | None) -> None:
            if guess is not None:
                found[role], why[role] = guess[0].name, guess[1]

        take("image", self.named("image", "is_image") or self.only("is_image", "its values are images"))
        take("choices", self.named("choices", "is_list"))
        take("text", self.named("text", "is_text") or self.longest())
        taken = {found.get("text")}
        take("text_pair", self.named("text_pair", "is_sentence", without=taken))
        take("label", self.named("label", "is_label", without=taken) or self.fewest(taken))
        if "choices" in found:
            take("answer", self.named("answer", "is_answer"))
        take("prompt", self.named("prompt", "is_sentence"))
        take("response", self.named("response", "is_answer", without={found.get("prompt")}))
        if "response" not in found:
            self.responses(found, why)
        return Columns(**found, why=why)

    def named(self, role: str, fits: str, without: set[str | None] | None = None) -> tuple[_Column, str] | None:
        """The column with the likeliest name whose values fit; texts that are words only come after sentences."""
        by_name = {column.name.lower(): column for column in reversed(self.columns_found)}
        there = [by_name[name] for name in NAMES[role] if name in by_name]
        there = [column for column in there if getattr(column, fits) and column.name not in (without or ())]
        if fits == "is_text":
            there = [c for c in there if c.is_sentence] or [c for c in there if not c.is_label and not c.is_path]
        return (there[0], f"a usual name for the {role.replace('_', ' ')}") if there else None

    def only(self, fits: str, reason: str) -> tuple[_Column, str] | None:
        there = [column for column in self.columns_found if getattr(column, fits)]
        return (there[0], reason) if len(there) == 1 else None

    def longest(self) -> tuple[_Column, str] | None:
        sentences = [column for column in self.columns_found if column.is_sentence]
        if not sentences:
            return None
        column = max(sentences, key=lambda column: column.length)
        return column, f"the longest texts, of {column.length:.0f} characters on average"

    def fewest(self, taken: set[str | None]) -> tuple[_Column, str] | None:
        taken = taken | {column.name for column in self.columns_found if column.name.lower() in NUMBERING}
        labels = [c for c in self.columns_found if c.is_label and c.different > 1 and c.name not in taken]
        if not labels:
            return None
        column = min(labels, key=lambda column: column.different)
        return column, f"{column.different} different values"

    def responses(self, found: dict[str, str], why: dict[str, str]) -> None:
        """Without a known name: the texts alone, or the second of two columns of texts."""
        sentences = [column.name for column in self.columns_found if column.is_sentence]
        if "prompt" in found:
            sentences = [name for name in sentences if name != found["prompt"]]
        elif len(sentences) == 2 and "label" not in found:
            found["prompt"], why["prompt"] = sentences[0], "the first of two columns of texts"
            sentences = sentences[1:]
        if len(sentences) == 1:
            found["response"], why["response"] = sentences[0], "the only column of texts that is left"


def _looked_at(table: Table, name: str) -> tuple[list[Any], Sequence[str] | None]:
    """The values of the first rows that have one, and the names of classes where numbers stand for them."""
    values = [value for value in table.head(name, SAMPLED) if value is not None]
    return values, table.class_names(name)
