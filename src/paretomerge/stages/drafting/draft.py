"""What `init` answers: a recipe's text, and what was guessed on the way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paretomerge.stages.drafting.bases import NewBase


@dataclass(frozen=True)
class Guess:
    """Something that was found out: what, its value, and why."""

    what: str
    value: str
    why: str = ""


@dataclass(frozen=True, eq=False)
class Draft:
    """A recipe that was drafted.

    Attributes:
        text: YAML with comments.
        tasks: the tasks' names.
        guesses: what was found out, and why.
        warnings: what may be wrong, or is missing.
        is_complete: whether the recipe runs as it is.
        new_base: a base with the finetunes' head that has to be written first; `None` where the given one has it.
        base_folder: where.
    """

    text: str
    tasks: tuple[str, ...]
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...]
    is_complete: bool
    new_base: NewBase | None = None
    base_folder: Path | None = None

    @property
    def lines(self) -> int:
        """Lines of the recipe that are no comments."""
        return sum(1 for line in self.text.splitlines() if line.strip() and not line.lstrip().startswith("#"))

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "recipe": self.text,
            "tasks": list(self.tasks),
            "guesses": [asdict(guess) for guess in self.guesses],
            "warnings": list(self.warnings),
            "is_complete": self.is_complete,
            "new_base": None if self.new_base is None else str(self.base_folder),
        }
