from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from paretomerge.errors import StorageError
from paretomerge.evaluation import Evaluation
from paretomerge.runs import Journal, journal, recall_tasks
from paretomerge.runs.integrity import check_journal
from paretomerge.runs.migrations import MIGRATIONS
from paretomerge.types import Ledger

PUBLISHED = ["e56a", "8f90", "431c"]
"""Digests of the migrations that journals out there have run: append, never edit."""


def test_published_migrations_are_never_edited() -> None:
    digests = [hashlib.sha256("\n".join(script).encode()).hexdigest()[:4] for script in MIGRATIONS]
    assert digests[: len(PUBLISHED)] == PUBLISHED


def test_a_new_journal_has_run_every_migration(tmp_path: Path) -> None:
    Journal(tmp_path / "j").close()
    with sqlite3.connect(tmp_path / "j") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    assert [name for (name,) in tables] == ["claims", "costs", "evaluations", "examples", "facts", "failures"]


def test_an_old_journal_keeps_its_content_and_runs_only_what_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "j") as old:
        old.note("choice", 7)
    newer = (*MIGRATIONS, ("CREATE TABLE wishes (name TEXT)", "INSERT INTO wishes VALUES ('x')"))
    monkeypatch.setattr(journal, "MIGRATIONS", newer)
    for _ in range(2):
        with Journal(tmp_path / "j") as new:
            assert new.fact("choice") == 7
            assert new._database.connection.execute("SELECT COUNT(*) FROM wishes").fetchone() == (1,)
            assert new._database.connection.execute("PRAGMA user_version").fetchone() == (len(newer),)


def test_evaluations_of_the_first_version_are_recalled_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(tmp_path / "j", isolation_level=None) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO evaluations VALUES ('k', 0.0, '{}', '[1.5]', '[0.5]', '[\"loss\"]')")
        connection.execute("INSERT INTO examples VALUES ('k', 'loss', ?)", (np.array([1.0, 2.0]).tobytes(),))
    with Journal(tmp_path / "j") as upgraded:
        found = upgraded.recall("k")
        assert found is not None
        assert (found.values.tolist(), found.examples["loss"].tolist()) == ([1.5], [1.0, 2.0])
        upgraded.remember("new", Evaluation(np.ones(1), np.zeros(1)), {})
        assert upgraded.count() == 2


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(tmp_path / "j").close()
    monkeypatch.setattr(journal, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE wishes (name TEXT)", "NONSENSE")))
    with pytest.raises(StorageError, match="syntax error"):
        Journal(tmp_path / "j")
    with sqlite3.connect(tmp_path / "j") as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("SELECT COUNT(*) FROM sqlite_master WHERE name = 'wishes'").fetchone() == (0,)


EARLIER = {
    1: """
        CREATE TABLE evaluations (key TEXT PRIMARY KEY, created REAL NOT NULL, about TEXT NOT NULL,
            "values" TEXT NOT NULL, stderr TEXT NOT NULL, examples TEXT NOT NULL) STRICT;
        CREATE TABLE examples (key TEXT NOT NULL REFERENCES evaluations(key), objective TEXT NOT NULL,
            scores BLOB NOT NULL, PRIMARY KEY (key, objective)) STRICT;
        CREATE TABLE costs (created REAL NOT NULL, stage TEXT NOT NULL, trainings INTEGER NOT NULL,
            gradient_passes INTEGER NOT NULL, evaluations INTEGER NOT NULL, seconds REAL NOT NULL) STRICT;
        CREATE TABLE facts (name TEXT PRIMARY KEY, created REAL NOT NULL, value TEXT NOT NULL) STRICT;
        INSERT INTO evaluations VALUES ('whole', 1.0, '{}', '[1.5, 0.25]', '[0.5, 0.0]', '["loss", "acc"]');
        INSERT INTO examples VALUES ('whole', 'loss', x'000000000000F03F0000000000000040'),
            ('whole', 'acc', x'000000000000D03F');
        INSERT INTO costs VALUES (1.0, 'fit', 0, 7, 0, 2.5), (2.0, 'front', 0, 0, 1, 0.5);
        INSERT INTO facts VALUES ('choice', 1.0, '{"point": 3}');
        PRAGMA user_version = 1;
    """,
    2: """
        CREATE TABLE evaluations (key TEXT PRIMARY KEY, created REAL NOT NULL, about TEXT NOT NULL,
            "values" TEXT NOT NULL, stderr TEXT NOT NULL, examples TEXT NOT NULL,
            model TEXT, task TEXT, part TEXT) STRICT;
        CREATE TABLE examples (key TEXT NOT NULL REFERENCES evaluations(key), objective TEXT NOT NULL,
            scores BLOB NOT NULL, PRIMARY KEY (key, objective)) STRICT;
        CREATE TABLE costs (created REAL NOT NULL, stage TEXT NOT NULL, trainings INTEGER NOT NULL,
            gradient_passes INTEGER NOT NULL, evaluations INTEGER NOT NULL, seconds REAL NOT NULL) STRICT;
        CREATE TABLE facts (name TEXT PRIMARY KEY, created REAL NOT NULL, value TEXT NOT NULL) STRICT;
        CREATE INDEX evaluations_of_models ON evaluations (model, task);
        CREATE TABLE failures (number INTEGER PRIMARY KEY, key TEXT NOT NULL, created REAL NOT NULL,
            stage TEXT NOT NULL, reason TEXT NOT NULL, counts INTEGER NOT NULL) STRICT;
        CREATE INDEX failures_of_keys ON failures (key, counts);
        CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) STRICT;
        INSERT INTO evaluations VALUES
            ('whole', 1.0, '{}', '[1.5, 0.25]', '[0.5, 0.0]', '["loss", "acc"]', NULL, NULL, NULL);
        INSERT INTO evaluations VALUES ('["m", "a"]', 1.0, '{}', '[2.0]', '[0.0]', '["loss"]', 'm', 'a', NULL);
        INSERT INTO examples VALUES ('whole', 'loss', x'000000000000F03F0000000000000040'),
            ('whole', 'acc', x'000000000000D03F'),
            ('["m", "a"]', 'loss', x'0000000000000040');
        INSERT INTO costs VALUES (1.0, 'fit', 0, 7, 0, 2.5), (2.0, 'front', 0, 0, 1, 0.5);
        INSERT INTO facts VALUES ('choice', 1.0, '{"point": 3}');
        INSERT INTO failures VALUES (1, 'm9', 1.0, 'front', 'out of memory', 2);
        INSERT INTO claims VALUES ('m9', 'elsewhere:1:2:3', 5.0);
        PRAGMA user_version = 2;
    """,
}
"""Journals as earlier versions wrote them, word for word and with content; append, never edit."""


def test_there_is_a_journal_of_every_earlier_version() -> None:
    assert sorted(EARLIER) == list(range(1, len(MIGRATIONS)))


@pytest.mark.parametrize("version", EARLIER)
def test_a_journal_of_an_earlier_version_loses_nothing(tmp_path: Path, version: int) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(EARLIER[version])
    before = check_journal(path)
    assert (before.flaws, before.version) == ((), version)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,), "checking migrates nothing"
    with Journal(path) as upgraded:
        found = upgraded.recall("whole")
        assert found is not None
        assert (found.values.tolist(), found.stderr.tolist()) == ([1.5, 0.25], [0.5, 0.0])
        assert {name: column.tolist() for name, column in found.examples.items()} == {"loss": [1.0, 2.0], "acc": [0.25]}
        assert upgraded.ledger() == {
            "fit": Ledger(gradient_passes=7, seconds=2.5),
            "front": Ledger(evaluations=1, seconds=0.5),
        }
        assert upgraded.fact("choice") == {"point": 3}
        assert upgraded.count() == before.evaluations == version
        assert [failure.reason for failure in upgraded.failures()] == ["out of memory"][: version - 1]
        if version > 1:
            assert {task: scores["loss"].tolist() for task, scores in recall_tasks(upgraded, "m", ["a"]).items()} == {
                "a": [2.0]
            }
            upgraded.claim("other", "elsewhere:1:2:3", 5.0)
        upgraded.charge("front", Ledger(evaluations=1, seconds=1.0, joules=3.0))
    after = check_journal(path)
    assert ([flaw for flaw in after.flaws if flaw.severity == "error"], after.version) == ([], len(MIGRATIONS))
    assert _schema(path) == _schema(_new(tmp_path / "new.sqlite"))


def _new(path: Path) -> Path:
    Journal(path).close()
    return path


def _schema(path: Path) -> dict[str, list[tuple[str, str]]]:
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [tuple(row) for row in connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,))]
            for name in sorted(tables)
        }
