"""The journal of a run: one SQLite file that holds every evaluation, every cost, every failure and every decision.

An evaluation is stored in one transaction as soon as it is measured, so a crash at any instant loses at most the
one in flight, and the same command continues where it stopped. Several processes may share one journal: what one
has claimed, the others do not measure.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paretomerge.errors import DataError
from paretomerge.evaluation import Evaluation
from paretomerge.runs.database import Database, damaged
from paretomerge.runs.migrations import MIGRATIONS
from paretomerge.runs.owners import is_alive, is_here
from paretomerge.types import Ledger

_CLOCKS_APART = 10
"""Claims that would hold this many times as long as one does are of a clock that was wrong, here or elsewhere."""


@dataclass(frozen=True)
class StoredFailure:
    """An evaluation that failed; `counts` is how many attempts it counts as, zero when it was forgiven."""

    key: str
    stage: str
    reason: str
    counts: int


class Journal:
    """An open journal file; created when it does not exist.

    Raises:
        InputError: the file is no journal, or was written by a newer version.
        StorageError: the disk refused.
    """

    def __init__(self, path: Path) -> None:
        """Open, create, or migrate."""
        self.path = Path(path)
        self._database = Database(self.path, MIGRATIONS)

    def __enter__(self) -> Journal:
        """For `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def recall(self, key: str) -> Evaluation | None:
        """The evaluation stored under `key`, if there is one."""
        rows = self._database.rows('SELECT "values", stderr, examples FROM evaluations WHERE key = ?', (key,))
        if not rows:
            return None
        blobs = self._database.rows("SELECT objective, scores FROM examples WHERE key = ?", (key,))
        with self._decoding("an evaluation"):
            values, stderr, layout = (json.loads(text) for text in rows[0])
            stored = {name: np.frombuffer(blob, dtype=np.float64).copy() for name, blob in blobs}
            examples = {name: stored[name] for name in layout}
            return Evaluation(np.array(values, np.float64), np.array(stderr, np.float64), examples)

    def remember(self, key: str, evaluation: Evaluation, about: Mapping[str, Any]) -> None:
        """Store one evaluation; storing the same key again changes nothing."""
        with self._database.transaction() as connection:
            insert_evaluation(connection, key, evaluation, about)

    def store(
        self,
        model: str,
        rows: Sequence[tuple[str, str, str | None, Evaluation]],
        about: Mapping[str, Any],
        charge: tuple[str, Ledger] | None = None,
    ) -> None:
        """Store what was measured of one model, with its cost, in one transaction; a claim on the model ends.

        Args:
            model: the model's key.
            rows: each with its own key, the task, the part of the task's examples (all when `None`), and the scores.
            about: for people.
            charge: the stage, and the cost.
        """
        with self._database.transaction() as connection:
            for key, task, part, evaluation in rows:
                insert_evaluation(connection, key, evaluation, about, (model, task, part))
            if charge is not None:
                insert_cost(connection, *charge)
            connection.execute("DELETE FROM claims WHERE key = ?", (model,))

    def parts(self, model: str, task: str) -> list[tuple[str, str]]:
        """The keys of what is stored of parts of a task's examples, and which parts."""
        return self._database.rows(
            "SELECT key, part FROM evaluations WHERE model = ? AND task = ? AND part IS NOT NULL", (model, task)
        )

    def charge(self, stage: str, ledger: Ledger) -> None:
        """Add a cost to a stage."""
        with self._database.transaction() as connection:
            insert_cost(connection, stage, ledger)

    def ledger(self) -> dict[str, Ledger]:
        """What every stage has cost so far, over all sittings."""
        total: dict[str, Ledger] = {}
        for stage, cost in self.charges():
            total[stage] = total.get(stage, Ledger()) + cost
        return total

    def charges(self) -> list[tuple[str, Ledger]]:
        """Every single charge with its stage, oldest first."""
        rows = self._database.rows(
            "SELECT stage, trainings, gradient_passes, evaluations, seconds, joules, metered_seconds "
            "FROM costs ORDER BY rowid"
        )
        with self._decoding("a cost"):
            return [(stage, Ledger(*costs)) for stage, *costs in rows]

    def note(self, name: str, value: Any) -> None:
        """Store a decision (JSON) under a name, replacing an earlier one."""
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (name, time.time(), json.dumps(value)))

    def conclude(self, facts: Mapping[str, Any], charge: tuple[str, Ledger] | None = None) -> None:
        """Store decisions that belong together, with what they cost, all or none; see `note` and `charge`."""
        with self._database.transaction() as connection:
            if charge is not None:
                insert_cost(connection, *charge)
            connection.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)",
                [(name, time.time(), json.dumps(value)) for name, value in facts.items()],
            )

    def fact(self, name: str) -> Any:
        """The decision stored under a name, or `None`."""
        rows = self._database.rows("SELECT value FROM facts WHERE name = ?", (name,))
        with self._decoding(f"the decision {name!r}"):
            return json.loads(rows[0][0]) if rows else None

    def count(self) -> int:
        """Number of models whose evaluation is stored; parts of evaluations do not count."""
        [(count,)] = self._database.rows(
            "SELECT COUNT(DISTINCT COALESCE(model, key)) FROM evaluations WHERE part IS NULL"
        )
        return int(count)

    def fail(self, key: str, stage: str, reason: str, ledger: Ledger | None = None, counts: int = 1) -> int:
        """Record that measuring `key` failed, and what that cost; how many attempts count by now."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO failures (key, created, stage, reason, counts) VALUES (?, ?, ?, ?, ?)",
                (key, time.time(), stage, reason, counts),
            )
            if ledger is not None:
                insert_cost(connection, stage, ledger)
            connection.execute("DELETE FROM claims WHERE key = ?", (key,))
        return sum(failure.counts for failure in self.failures(key))

    def failures(self, key: str | None = None) -> list[StoredFailure]:
        """Every attempt that failed, of one evaluation or of all, oldest first."""
        where, values = ("", ()) if key is None else (" WHERE key = ?", (key,))
        rows = self._database.rows(f"SELECT key, stage, reason, counts FROM failures{where} ORDER BY number", values)
        with self._decoding("a failure"):
            return [StoredFailure(key, stage, reason, int(counts)) for key, stage, reason, counts in rows]

    def forgive(self, keys: Iterable[str]) -> None:
        """Let failed evaluations be tried again; that they failed stays recorded."""
        with self._database.transaction() as connection:
            connection.executemany("UPDATE failures SET counts = 0 WHERE key = ?", [(key,) for key in keys])

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """Whether `owner` may measure `key`: nobody else who lives has claimed it in the last `seconds`.

        Clocks may jump: whether a process of this machine lives is seen, not told by the time, and a claim that ends
        later than any would was made before the clock was put back.
        """
        with self._database.transaction(durable=False) as connection:
            held = connection.execute("SELECT owner, expires FROM claims WHERE key = ?", (key,)).fetchone()
            if held and held[0] != owner and is_alive(held[0]):
                left = held[1] - time.time()
                if is_here(held[0]) or 0 < left <= _CLOCKS_APART * seconds:
                    return False
            connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (key, owner, time.time() + seconds))
        return True

    def renew(self, owner: str, seconds: float) -> None:
        """Extend every claim of `owner`: it is still at work."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("UPDATE claims SET expires = ? WHERE owner = ?", (time.time() + seconds, owner))

    def release(self, owner: str, key: str | None = None) -> None:
        """Give up one claim, or all claims of an owner."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM claims WHERE owner = ? AND key = COALESCE(?, key)", (owner, key))

    @contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, DataError) as error:
            raise damaged(self.path, f"{what} cannot be read ({type(error).__name__}: {str(error)[:200]})") from error


def insert_evaluation(
    connection: sqlite3.Connection,
    key: str,
    evaluation: Evaluation,
    about: Mapping[str, Any],
    place: tuple[str, str, str | None] | None = None,
) -> None:
    """Add one evaluation within a transaction; `place` is the model, the task, and the part of its examples."""
    connection.execute(
        "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key,
            time.time(),
            json.dumps(about, sort_keys=True),
            json.dumps(evaluation.values.tolist()),
            json.dumps(evaluation.stderr.tolist()),
            json.dumps(list(evaluation.examples)),
            *(place or (None, None, None)),
        ),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO examples VALUES (?, ?, ?)",
        [(key, name, np.asarray(column, np.float64).tobytes()) for name, column in evaluation.examples.items()],
    )


def insert_cost(connection: sqlite3.Connection, stage: str, ledger: Ledger) -> None:
    """Add a cost within a transaction."""
    connection.execute(
        "INSERT INTO costs (created, stage, trainings, gradient_passes, evaluations, seconds, joules, metered_seconds) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            time.time(),
            stage,
            ledger.trainings,
            ledger.gradient_passes,
            ledger.evaluations,
            ledger.seconds,
            ledger.joules,
            ledger.metered_seconds,
        ),
    )


def evaluation_key(**parts: Any) -> str:
    """A digest of everything an evaluation depends on: parameters, rule, weights, data, evaluator."""
    canonical = json.dumps(parts, sort_keys=True, default=_plain)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [float(f"{number:.12g}") for number in value.ravel()]
    return repr(value)
