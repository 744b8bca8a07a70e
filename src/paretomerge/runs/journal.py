"""The journal of a run: one SQLite file that holds every evaluation, every cost and every decision.

An evaluation is stored in one transaction as soon as it is measured, so a crash at any instant loses at most the
one in flight, and the same command continues where it stopped. Several processes may share one journal.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.errors import InputError, StorageError
from paretomerge.evaluation import Evaluation
from paretomerge.runs.migrations import MIGRATIONS
from paretomerge.types import Ledger


class Journal:
    """An open journal file; created when it does not exist.

    Raises:
        InputError: the file is no journal, or was written by a newer version.
        StorageError: the disk refused.
    """

    def __init__(self, path: Path) -> None:
        """Open, create, or migrate."""
        self.path = Path(path)
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.execute("PRAGMA synchronous=FULL")
                self._migrate()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Journal:
        """For `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def recall(self, key: str) -> Evaluation | None:
        """The evaluation stored under `key`, if there is one."""
        with self._translated():
            row = self._connection.execute(
                'SELECT "values", stderr, examples FROM evaluations WHERE key = ?', (key,)
            ).fetchone()
            blobs = self._connection.execute("SELECT objective, scores FROM examples WHERE key = ?", (key,)).fetchall()
        if row is None:
            return None
        layout = json.loads(row[2])
        stored = {name: np.frombuffer(blob, dtype=np.float64).copy() for name, blob in blobs}
        examples = {name: stored[name] for name in layout}
        return Evaluation(np.array(json.loads(row[0])), np.array(json.loads(row[1])), examples)

    def remember(self, key: str, evaluation: Evaluation, about: Mapping[str, Any]) -> None:
        """Store one evaluation; storing the same key again changes nothing."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?, ?)",
                (
                    key,
                    time.time(),
                    json.dumps(about, sort_keys=True),
                    json.dumps(evaluation.values.tolist()),
                    json.dumps(evaluation.stderr.tolist()),
                    json.dumps(list(evaluation.examples)),
                ),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO examples VALUES (?, ?, ?)",
                [(key, name, np.asarray(column, np.float64).tobytes()) for name, column in evaluation.examples.items()],
            )

    def charge(self, stage: str, ledger: Ledger) -> None:
        """Add a cost to a stage."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO costs VALUES (?, ?, ?, ?, ?, ?)",
                (time.time(), stage, ledger.trainings, ledger.gradient_passes, ledger.evaluations, ledger.seconds),
            )

    def ledger(self) -> dict[str, Ledger]:
        """What every stage has cost so far, over all sittings."""
        with self._translated():
            rows = self._connection.execute(
                "SELECT stage, SUM(trainings), SUM(gradient_passes), SUM(evaluations), SUM(seconds) "
                "FROM costs GROUP BY stage ORDER BY MIN(rowid)"
            ).fetchall()
        return {stage: Ledger(int(t), int(g), int(e), float(s)) for stage, t, g, e, s in rows}

    def note(self, name: str, value: Any) -> None:
        """Store a decision (JSON) under a name, replacing an earlier one."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, time.time(), json.dumps(value)))

    def fact(self, name: str) -> Any:
        """The decision stored under a name, or `None`."""
        with self._translated():
            row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def count(self) -> int:
        """Number of evaluations stored."""
        with self._translated():
            return int(self._connection.execute("SELECT COUNT(*) FROM evaluations").fetchone()[0])

    def _migrate(self) -> None:
        version = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(MIGRATIONS):
            raise InputError(
                f"{self.path} was written by a newer version of paretomerge (journal version {version}, this one "
                f"knows {len(MIGRATIONS)}): upgrade paretomerge"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            with self._transaction() as connection:
                # Another process may have migrated while this one waited for the lock.
                if int(connection.execute("PRAGMA user_version").fetchone()[0]) >= number:
                    continue
                for statement in script:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error) or "malformed" in str(error):
                raise InputError(
                    f"{self.path} is not a journal ({error}): it was damaged or overwritten. Restore it from a "
                    "backup, or start in a new run folder"
                ) from error
            raise StorageError(f"cannot use the journal {self.path}: {error}") from error
        except OSError as error:
            raise StorageError(f"cannot create the journal {self.path}: {error.strerror or error}") from error


def evaluation_key(**parts: Any) -> str:
    """A digest of everything an evaluation depends on: parameters, rule, weights, data, evaluator."""
    canonical = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [float(f"{number:.12g}") for number in value.ravel()]
    return repr(value)
