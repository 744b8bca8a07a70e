"""Every exception that `paretomerge` raises on purpose.

    ParetomergeError
    ├── InputError               what was given cannot be used       (exit code 2)
    │   ├── CheckpointError      a file or folder of parameters
    │   ├── AlignmentError       base and finetunes do not fit each other
    │   ├── WeightsError         task weights or scaling coefficients
    │   ├── PosteriorError       a posterior, or posteriors that cannot be merged
    │   ├── DataError            examples, batches, scores
    │   ├── RecipeError          a recipe, or the name of a method
    │   └── InfeasibleError      a wish that no point of the front fulfils
    └── FailureError             the input was fine, the work failed (exit code 1)
        ├── StorageError         the disk refused to read or write
        ├── EvaluationError      an evaluator raised or returned nonsense
        ├── TrainingError        a training run diverged or broke
        └── MissingExtraError    an optional dependency is not installed

A message says what was seen, the likely cause, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from paretomerge.types import FrontPoint


_NOT_PRINTED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class ParetomergeError(Exception):
    """Base class of every error raised on purpose; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1

    def __init__(self, *arguments: object) -> None:
        """The message, as it can be printed and stored, whatever names of somebody else's are in it."""
        super().__init__(*(printable(each) if isinstance(each, str) else each for each in arguments))


class InputError(ParetomergeError):
    """What was given cannot be used."""

    exit_code: ClassVar[int] = 2


class CheckpointError(InputError):
    """A file or folder of parameters is missing, broken, or of an unknown kind."""


class AlignmentError(InputError):
    """Base and finetunes do not fit each other; the message lists every problem at once."""


class WeightsError(InputError):
    """Task weights or scaling coefficients outside their domain, or for unknown tasks."""


class PosteriorError(InputError):
    """A posterior with impossible values, or posteriors that cannot be merged with each other."""


class DataError(InputError):
    """Examples, batches or scores that are empty, of the wrong shape, or not finite."""


class RecipeError(InputError):
    """A recipe with an unknown key, a wrong type, or a method nobody registered."""


class InfeasibleError(InputError):
    """A wish that no point of the front fulfils; the message names the closest point and what to relax."""

    def __init__(
        self,
        message: str,
        *,
        closest: FrontPoint | None = None,
        relax: Mapping[str, tuple[float, float]] | None = None,
        alone: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Keep what the message says in a form that programs can read.

        Args:
            message: what was wished for, which point comes closest, what to relax.
            closest: the point that comes closest to the wish.
            relax: objective → (wished, reached): what must be relaxed, all of it, to reach the closest point.
            alone: objective → (wished, reached): wishes of which each is enough if it alone is relaxed so far.
        """
        super().__init__(message)
        self.closest = closest
        self.relax = dict(relax or {})
        self.alone = dict(alone or {})


class FailureError(ParetomergeError):
    """The input was fine, the work failed."""


class StorageError(FailureError):
    """The disk refused to read or write; nothing half-written is left under the final name."""


class EvaluationError(FailureError):
    """An evaluator raised, or returned something that is not a score."""


class TrainingError(FailureError):
    """A training run diverged or broke."""


class MissingExtraError(FailureError):
    """An optional dependency is not installed; the message names the extra that brings it."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingExtraError:
        """The error for `package`, which `pip install 'paretomerge[extra]'` brings."""
        return cls(f"this needs the package {package!r}: install it with  pip install 'paretomerge[{extra}]'")


LONGEST_NAME = 200
LONGEST_MESSAGE = 20_000


def printable(text: str) -> str:
    r"""A text without what a terminal would obey or nothing can encode, and of a length that can be read.

    >>> print(printable(f"a file called {chr(27)}[2J"))
    a file called \x1b[2J
    """
    if len(text) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2
        text = f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"
    return _NOT_PRINTED.sub(lambda found: repr(found[0])[1:-1], text)


def nearest(name: object, known: Iterable[object]) -> str:
    """What a message adds to an unknown name: ` (did you mean 'x'?)`, or nothing when nothing is near.

    >>> nearest("avreaging", ["averaging", "ties"])
    " (did you mean 'averaging'?)"
    """
    names = [str(k) for k in known]
    # of long texts the comparison takes forever
    close = get_close_matches(str(name)[:LONGEST_NAME], [k for k in names if len(k) <= LONGEST_NAME], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
