"""Whether a journal can still be trusted, told without changing a byte of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from paretomerge.errors import DataError, InputError, StorageError
from paretomerge.runs.database import require_schema, version_of
from paretomerge.runs.migrations import MIGRATIONS
from paretomerge.runs.owners import is_alive
from paretomerge.types import Ledger

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Flaw:
    """Something of a run that is not as it was left.

    Args:
        severity: an `error` can make results wrong or stop the next command; a `warning` is worth a look.
        where: the file, or the part of the journal, seen from the run folder.
        message: what was seen, and what to do.
    """

    severity: Literal["error", "warning"]
    where: str
    message: str


@dataclass(frozen=True)
class JournalCheck:
    """What a journal holds and what is wrong with it; `facts` are those of its decisions that can be read."""

    flaws: tuple[Flaw, ...]
    version: int | None = None
    evaluations: int = 0
    facts: tuple[tuple[str, Any], ...] = ()


def check_journal(path: Path) -> JournalCheck:
    """Check a journal: the pages of the file, the schema, and that every row can be read and fits the others.

    The file is opened for reading only; a journal of an earlier version is not migrated. Other processes may use it.
    """
    name = path.name
    if not path.is_file():
        return JournalCheck((Flaw("error", name, "there is no such file: what was measured is lost"),))
    try:
        with closing(_open(path)) as connection:
            damage = [row[0] for row in connection.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
            if damage:
                return JournalCheck((_lost(name, f"its pages are damaged: {'; '.join(map(str, damage))[:300]}"),))
            version = version_of(path, connection, MIGRATIONS)
            require_schema(path, connection, MIGRATIONS[:version])
            if not version:
                return JournalCheck((_lost(name, "it is empty"),), 0)
            facts: list[tuple[str, Any]] = []
            flaws = [*_rows(connection, name, version), *_decisions(connection, name, facts)]
            models = "COALESCE(model, key)" if version > 1 else "key"
            where = "WHERE part IS NULL" if version > 1 else ""
            [(count,)] = connection.execute(f"SELECT COUNT(DISTINCT {models}) FROM evaluations {where}")
            return JournalCheck(tuple(flaws), version, int(count), tuple(facts))
    except (sqlite3.Error, OSError, InputError, StorageError) as error:
        return JournalCheck((_lost(name, str(error)),))


def _open(path: Path) -> sqlite3.Connection:
    """For reading only; where the folder lets nobody write, without the log of what was written last."""
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=PATIENCE_SECONDS, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        connection = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return connection


def _lost(name: str, why: str) -> Flaw:
    return Flaw("error", name, f"{why}. Restore the journal from a backup, or start in a new run folder")


def _rows(connection: sqlite3.Connection, name: str, version: int) -> Iterator[Flaw]:
    """Every row of every table, decoded as the commands do."""
    orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
    if orphans:
        yield Flaw("error", name, f"{len(orphans)} rows of scores belong to no evaluation: restore it from a backup")
    for key, values, stderr, layout in connection.execute(
        'SELECT key, "values", stderr, examples FROM evaluations ORDER BY created'
    ):
        blobs = connection.execute("SELECT objective, scores FROM examples WHERE key = ?", (key,)).fetchall()
        why = _evaluation(values, stderr, layout, dict(blobs))
        if why:
            yield Flaw("error", f"{name}: evaluation {str(key)[:80]}", f"{why}: restore the journal from a backup")
    columns = "trainings, gradient_passes, evaluations, seconds" + (", joules, metered_seconds" if version > 2 else "")
    for number, *costs in connection.execute(f"SELECT rowid, {columns} FROM costs"):
        try:
            Ledger(*costs)
        except (TypeError, ValueError, DataError) as error:
            yield Flaw("error", f"{name}: cost {number}", f"{error}: what the run has cost is not known")
    if version > 1:
        owners = {owner for (owner,) in connection.execute("SELECT owner FROM claims")}
        dead = [owner for owner in owners if not is_alive(str(owner))]
        if dead:
            yield Flaw(
                "warning",
                f"{name}: claims",
                f"{len(dead)} processes ended without giving back what they were measuring: the same command measures "
                "it again",
            )


def _evaluation(values: str, stderr: str, layout: str, blobs: dict[str, bytes]) -> str:
    """What is wrong with an evaluation; nothing where it is sound."""
    try:
        numbers = np.array([json.loads(values), json.loads(stderr)], np.float64)
        named = json.loads(layout)
        columns = {objective: np.frombuffer(blob, np.float64) for objective, blob in blobs.items()}
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        return f"cannot be read ({type(error).__name__}: {str(error)[:100]})"
    if not isinstance(named, list) or set(map(str, named)) != set(columns):
        return "some of its scores are missing"
    if not np.isfinite(numbers).all() or not all(np.isfinite(column).all() for column in columns.values()):
        return "a score is not finite"
    return "a standard error is negative" if (numbers[1] < 0).any() else ""


def _decisions(connection: sqlite3.Connection, name: str, facts: list[tuple[str, Any]]) -> Iterator[Flaw]:
    for fact, text in connection.execute("SELECT name, value FROM facts"):
        try:
            facts.append((str(fact), json.loads(text)))
        except (ValueError, TypeError, RecursionError) as error:
            yield Flaw("error", f"{name}: {str(fact)[:80]}", f"cannot be read ({error}): run its command again")
