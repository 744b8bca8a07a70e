"""One SQLite file that several processes share, migrated when it is opened; errors say what to do."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from paretomerge.errors import InputError, StorageError

_PATIENCE_SECONDS = 60.0


class Database:
    """An open file; created when it does not exist.

    Args:
        path: the file.
        migrations: every change of the schema so far, each a tuple of statements.

    Raises:
        InputError: the file is no database, or one of another program, damaged, or written by a newer version.
        StorageError: the disk refused.
    """

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]]) -> None:
        """Open, create, or migrate."""
        self.path = path
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = self._connect()
            try:
                self._require_own(migrations)
                self._log_ahead()
                self._migrate(migrations)
                require_schema(self.path, self.connection, migrations)
            finally:
                self.connection.close()
            # The first connection may remember a schema from between two migrations of another process.
            self.connection = self._connect()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a query answers."""
        with self._translated():
            return self.connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All statements within, or none of them; other processes wait.

        What is not durable survives every end of the process, but not a power failure: it need not wait for the disk.
        """
        with self._translated():
            self.connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                # A full disk makes SQLite roll back by itself.
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        # What a file's own schema says is never run with the rights of this process.
        connection.execute("PRAGMA trusted_schema=OFF")
        return connection

    def _require_own(self, migrations: Sequence[Sequence[str]]) -> None:
        """Raise before anything is written into the file of a newer version, or of another program."""
        version = version_of(self.path, self.connection, migrations)
        if not version and self.connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            # Another process may just have made the first tables.
            if version_of(self.path, self.connection, migrations):
                return
            raise InputError(f"{self.path} is a database of another program: give another folder for the run")

    def _log_ahead(self) -> None:
        """Turn the write-ahead log on; SQLite does not wait for processes that open the file at the same moment."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _migrate(self, migrations: Sequence[Sequence[str]]) -> None:
        version = version_of(self.path, self.connection, migrations)
        for number, script in enumerate(migrations[version:], start=version + 1):
            with self.transaction() as connection:
                # Another process may have migrated while this one waited for the lock.
                if int(connection.execute("PRAGMA user_version").fetchone()[0]) >= number:
                    continue
                for statement in script:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if "not a database" in str(error) or "malformed" in str(error):
                raise InputError(
                    f"{self.path} is not a journal ({error}): it was damaged or overwritten. Restore it from a "
                    "backup, or start in a new run folder"
                ) from error
            raise StorageError(f"cannot use the journal {self.path}: {error}") from error
        except OSError as error:
            raise StorageError(f"cannot create the journal {self.path}: {error.strerror or error}") from error


def version_of(path: Path, connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> int:
    """How many of the migrations a file has run.

    Raises:
        InputError: more than there are, or a number that none has.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise InputError(
            f"{path} was written by a newer version of paretomerge (journal version {version}, this one "
            f"knows {len(migrations)}): upgrade paretomerge"
        )
    if version < 0:
        raise damaged(path, f"its version is {version}")
    return version


def require_schema(path: Path, connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    """Raise `InputError` unless a file has the tables and columns that these migrations make, and runs nothing itself.

    A view or a trigger would run whenever the file is read or written.
    """
    found = _schema_of(connection)
    for kind, name in connection.execute("SELECT type, name FROM sqlite_master"):
        if kind in ("view", "trigger"):
            raise damaged(path, f"it has the {kind} {str(name)[:80]!r}, which no version makes")
    for table, columns in _expected(tuple(map(tuple, migrations))).items():
        lacking = sorted(columns - found.get(table, set()))
        if lacking:
            raise damaged(path, f"its table {table!r} is missing, or lacks {', '.join(lacking)}")


def damaged(path: Path, why: str) -> InputError:
    """The error for a journal that holds what no version writes."""
    return InputError(
        f"{path} is damaged: {why}. Restore it from a backup, or start in a new run folder; what can still be "
        f"trusted says  paretomerge runs --verify {path.parent}"
    )


def _schema_of(connection: sqlite3.Connection) -> dict[str, set[str]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: {column for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", (name,))}
        for name in tables
    }


@cache
def _expected(migrations: tuple[tuple[str, ...], ...]) -> dict[str, set[str]]:
    """Table → columns after the migrations."""
    connection = sqlite3.connect(":memory:")
    try:
        for script in migrations:
            for statement in script:
                connection.execute(statement)
        return _schema_of(connection)
    finally:
        connection.close()
