"""Outcomes of checks: rows that are in order, worth a look, or in the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeVar

from paretomerge.errors import InputError, ParetomergeError

Status = Literal["ok", "warning", "error"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class CheckRow:
    """One thing that was checked.

    Args:
        what: which check.
        status: `error` forbids the run, `warning` is worth a look.
        message: what was seen; for errors and warnings also the likely cause and what to do.
    """

    what: str
    status: Status
    message: str

    def as_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class Rows:
    """Rows as they come in; an error of one check does not stop the next."""

    rows: list[CheckRow] = field(default_factory=list)
    errors: list[ParetomergeError] = field(default_factory=list)

    def ok(self, what: str, message: str) -> None:
        """Note that something is in order."""
        self.rows.append(CheckRow(what, "ok", message))

    def warn(self, what: str, message: str) -> None:
        """Note something worth a look."""
        self.rows.append(CheckRow(what, "warning", message))

    def fail(self, what: str, error: ParetomergeError) -> None:
        """Note what is in the way."""
        self.rows.append(CheckRow(what, "error", str(error)))
        self.errors.append(error)

    def attempt(self, what: str, work: Callable[[], Result]) -> Result | None:
        """What `work` returns, or `None` and a row for its error; its warnings become rows."""
        with self.heard(what):
            try:
                return work()
            except ParetomergeError as error:
                self.fail(what, error)
        return None

    @contextmanager
    def heard(self, what: str) -> Iterator[None]:
        """Inside, warnings become rows."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        said = [warning for warning in caught if warning.category is UserWarning]
        for message in dict.fromkeys(str(warning.message) for warning in said):
            self.warn(what, message)

    def raise_if_bad(self) -> None:
        """Raise the error there was, or one that lists all of them."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            failed = [row for row in self.rows if row.status == "error"]
            listed = "\n".join(f"  {row.what}: {row.message}" for row in failed)
            raise InputError(f"{len(failed)} checks failed:\n{listed}")
