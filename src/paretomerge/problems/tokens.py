"""Texts to token numbers with a Hugging Face tokenizer, and what must be said about it aloud."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from paretomerge.errors import DataError
from paretomerge.problems.models import ModelFolder

_UNBOUNDED = 1_000_000
"""A tokenizer that knows no limit says a number far above this one."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokenizes for one model; the tokenizer is read at the first use.

    Args:
        model: the model's folder.
        max_length: tokens of a text at most; fewer where the model takes fewer.
    """

    model: ModelFolder
    max_length: int

    @cached_property
    def limit(self) -> int:
        """Tokens of a text at most."""
        own = self._tokenizer.model_max_length
        limits = [self.max_length, self.model.longest, own if own < _UNBOUNDED else None]
        return min(limit for limit in limits if limit is not None)

    @cached_property
    def _tokenizer(self) -> Any:
        return self.model.tokenizer()

    @cached_property
    def start(self) -> list[int]:
        """The token that every text begins with, if the tokenizer writes one."""
        first = self._tokenizer("a", verbose=False)["input_ids"][:1]
        return list(first) if first and first[0] == self._tokenizer.bos_token_id else []

    @cached_property
    def end(self) -> list[int]:
        """The token that a finished text ends with, if the tokenizer has one."""
        token = self._tokenizer.eos_token_id
        return [] if token is None else [token]

    def text(self, tokens: Sequence[int]) -> str:
        """What token numbers spell, special ones left out and spaces as they are."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def bare(self, texts: Sequence[str], source: str) -> list[list[int]]:
        """Token numbers without any special tokens, whatever their number."""
        if not texts:
            return []
        rows = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        self._require_known(rows, source)
        return rows

    def whole(self, texts: Sequence[str], pairs: Sequence[str] | None, source: str) -> tuple[list[list[int]], Any]:
        """Token numbers with special tokens, cut to the limit; and which part of a pair each is of."""
        many = (list(texts),) if pairs is None else (list(texts), list(pairs))
        wanted = {"return_token_type_ids": pairs is not None and self.model.has_segments, "verbose": False}
        encoded = self._tokenizer(*many, **wanted)
        rows, segments = encoded["input_ids"], encoded.get("token_type_ids")
        self._require_known(rows, source)
        long = [number for number, row in enumerate(rows) if len(row) > self.limit]
        if long:
            self.warn_of_cut(source, len(long), len(rows), max(map(len, rows)))
            some = [[column[number] for number in long] for column in many]
            cut = self._tokenizer(*some, truncation=True, max_length=self.limit, **wanted)
            for place, number in enumerate(long):
                rows[number] = cut["input_ids"][place]
                if segments is not None:
                    segments[number] = cut["token_type_ids"][place]
        return rows, segments

    def warn_of_cut(self, source: str, cut: int, count: int, longest: int) -> None:
        """Say how many texts lose their end."""
        remedy = (
            "raise max_length if what is cut matters"
            if self.limit == self.max_length
            else f"the model takes no more, so max_length {self.max_length} cannot be reached"
        )
        warnings.warn(
            f"{source}: {cut} of {count} examples have more than {self.limit} tokens (the longest {longest}) and are "
            f"cut: {remedy}",
            stacklevel=2,
        )

    def _require_known(self, rows: Sequence[Sequence[int]], source: str) -> None:
        """Refuse token numbers that the model has no embedding for, and warn of texts in another language.

        Raises:
            DataError: the tokenizer is of another model.
        """
        highest = max((max(row, default=0) for row in rows), default=0)
        if self.model.tokens is not None and highest >= self.model.tokens:
            raise DataError(
                f"{source}: the tokenizer in {self.model.path} writes the token {highest}, but the model knows only "
                f"{self.model.tokens}: put the model's own tokenizer there, or give a base with resized embeddings"
            )
        unknown, count = self._tokenizer.unk_token_id, sum(map(len, rows))
        lost = sum(list(row).count(unknown) for row in rows) if unknown is not None else 0
        if count and lost > count / 2:
            warnings.warn(
                f"{source}: {100 * lost / count:.0f} % of the tokens are unknown to the tokenizer in "
                f"{self.model.path}: is it the model's own, and does it know the language of the texts?",
                stacklevel=2,
            )
