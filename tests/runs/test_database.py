from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from paretomerge.errors import InputError, StorageError
from paretomerge.runs.database import Database

SCHEMA = (("CREATE TABLE words (word TEXT PRIMARY KEY)",),)


def _add(database: Database, *words: str, error: Exception | None = None) -> None:
    with database.transaction() as connection:
        for word in words:
            connection.execute("INSERT INTO words VALUES (?)", (word,))
        if error is not None:
            raise error


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "d", SCHEMA)
    with pytest.raises(KeyError):
        _add(database, "a", error=KeyError())
    assert database.rows("SELECT word FROM words") == []
    _add(database, "b")
    assert database.rows("SELECT word FROM words WHERE word = ?", ("b",)) == [("b",)]
    database.close()


def test_a_statement_that_the_schema_forbids_is_a_storage_error_and_rolled_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "d", SCHEMA)
    with pytest.raises(StorageError, match=r"cannot use the journal .*UNIQUE"):
        _add(database, "a", "a")
    assert database.rows("SELECT word FROM words") == []
    database.close()


def test_a_migration_runs_once(tmp_path: Path) -> None:
    for _ in range(2):
        Database(tmp_path / "d", SCHEMA).close()
    Database(tmp_path / "d", (*SCHEMA, ("INSERT INTO words VALUES ('later')",))).close()
    again = Database(tmp_path / "d", (*SCHEMA, ("INSERT INTO words VALUES ('later')",)))
    assert again.rows("SELECT word FROM words") == [("later",)]
    again.close()
    with pytest.raises(InputError, match="newer version"):
        Database(tmp_path / "d", SCHEMA)


def test_others_can_read_while_one_writes(tmp_path: Path) -> None:
    database = Database(tmp_path / "d", SCHEMA)
    with database.transaction() as connection, sqlite3.connect(tmp_path / "d", timeout=0) as other:
        connection.execute("INSERT INTO words VALUES ('a')")
        assert other.execute("SELECT * FROM words").fetchall() == []
    other.close()
    database.close()
