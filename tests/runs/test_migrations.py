from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from paretomerge.errors import StorageError
from paretomerge.evaluation import Evaluation
from paretomerge.runs import Journal, journal
from paretomerge.runs.migrations import MIGRATIONS

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
