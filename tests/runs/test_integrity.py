from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.hostile.run_kinds import make_journal

from paretomerge.errors import InputError
from paretomerge.runs import Journal
from paretomerge.runs.integrity import check_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_journal(tmp_path / "journal.sqlite")
    return tmp_path / "journal.sqlite"


def _change(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(statements)


def test_a_sound_journal_has_no_flaws_and_is_not_changed(path: Path) -> None:
    before = path.read_bytes()
    found = check_journal(path)
    assert (found.flaws, found.version, found.evaluations) == ((), 3, 5)
    assert dict(found.facts) == {"front": {"points": [1, 2, 3]}}
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_journal_that_is_being_written_can_be_checked(path: Path) -> None:
    with Journal(path) as journal, journal._database.transaction() as connection:
        connection.execute("UPDATE facts SET value = '{'")
        assert check_journal(path).flaws == ()
        connection.execute("UPDATE facts SET value = '{}'")


@pytest.mark.parametrize(
    ("statements", "where", "message"),
    [
        ("UPDATE evaluations SET \"values\" = '[NaN]' WHERE key = 'old'", "evaluation old", "a score is not finite"),
        ("UPDATE evaluations SET \"values\" = '[1' WHERE key = 'old'", "evaluation old", "cannot be read"),
        ("UPDATE evaluations SET stderr = '[-1]' WHERE key = 'old'", "evaluation old", "a standard error is negative"),
        ("UPDATE evaluations SET stderr = '[1, 2]' WHERE key = 'old'", "evaluation old", "cannot be read"),
        ("DELETE FROM examples WHERE key = 'old'", "evaluation old", "some of its scores are missing"),
        ("UPDATE examples SET scores = x'00' WHERE key = 'old'", "evaluation old", "cannot be read"),
        ("PRAGMA foreign_keys = 0; DELETE FROM evaluations WHERE key = 'old'", "", "1 rows of scores belong to no"),
        ("UPDATE costs SET seconds = -1 WHERE rowid = 1", "cost 1", "finite number of at least 0"),
        ("UPDATE facts SET value = '{'", "front", "cannot be read"),
        ("PRAGMA user_version = 99", "", "written by a newer version"),
        ("PRAGMA user_version = -1", "", "its version is -1"),
        ("DROP TABLE costs", "", "its table 'costs' is missing"),
        ("ALTER TABLE costs DROP COLUMN joules", "", "lacks joules"),
        ("CREATE TRIGGER t AFTER INSERT ON costs BEGIN DELETE FROM facts; END", "", "the trigger 't'"),
        ("DROP TABLE facts; CREATE VIEW facts AS SELECT 1 AS name", "", "the view 'facts'"),
    ],
)
def test_what_is_wrong_is_found_and_named(path: Path, statements: str, where: str, message: str) -> None:
    _change(path, statements)
    [flaw] = check_journal(path).flaws
    assert flaw.severity == "error"
    assert flaw.where == f"journal.sqlite: {where}" if where else flaw.where == "journal.sqlite"
    assert message in flaw.message


def test_damaged_pages_are_found(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 3000] = b"\xff" * 3000
    path.write_bytes(raw)
    assert [flaw.severity for flaw in check_journal(path).flaws] == ["error"]


@pytest.mark.parametrize("content", [b"", b"no database " * 400])
def test_what_is_no_journal_is_said(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    [flaw] = check_journal(path).flaws
    assert flaw.severity == "error"


def test_a_journal_that_is_gone_is_said(path: Path) -> None:
    path.unlink()
    assert "what was measured is lost" in check_journal(path).flaws[0].message


def test_claims_of_processes_that_ended_are_a_warning(path: Path) -> None:
    import socket

    _change(path, f"UPDATE claims SET owner = '{socket.gethostname()}:999999999:1:x'")
    [flaw] = check_journal(path).flaws
    assert (flaw.severity, flaw.where) == ("warning", "journal.sqlite: claims")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_nobody_may_write_can_be_checked(path: Path) -> None:
    path.parent.chmod(0o555)
    assert check_journal(path).flaws == ()
    path.parent.chmod(0o755)


@pytest.mark.parametrize(
    "statements",
    [
        "UPDATE evaluations SET \"values\" = '[1' WHERE key = 'old'",
        "UPDATE evaluations SET examples = '[\"lost\"]' WHERE key = 'old'",
        "UPDATE examples SET scores = x'00' WHERE key = 'old'",
        "UPDATE costs SET seconds = -1",
        "UPDATE facts SET value = '{'",
        "DROP TABLE costs",
        "CREATE TRIGGER t AFTER INSERT ON costs BEGIN DELETE FROM facts; END",
        "PRAGMA user_version = -1",
    ],
)
def test_commands_refuse_a_damaged_journal_and_say_how_to_look_at_it(path: Path, statements: str) -> None:
    _change(path, statements)

    def use() -> None:
        with Journal(path) as journal:
            journal.recall("old")
            journal.ledger()
            journal.fact("front")

    with pytest.raises(InputError, match=r"is damaged: .*paretomerge runs --verify"):
        use()


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    _change(path, "CREATE TABLE birds (name TEXT); INSERT INTO birds VALUES ('wren')")
    before = path.read_bytes()
    with pytest.raises(InputError, match="is a database of another program"):
        Journal(path)
    assert path.read_bytes() == before
