"""The journal's schema, as the list of all its migrations; appended to, never edited."""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE evaluations (key TEXT PRIMARY KEY, created REAL NOT NULL, about TEXT NOT NULL, "
        '"values" TEXT NOT NULL, stderr TEXT NOT NULL, examples TEXT NOT NULL) STRICT',
        "CREATE TABLE examples (key TEXT NOT NULL REFERENCES evaluations(key), objective TEXT NOT NULL, "
        "scores BLOB NOT NULL, PRIMARY KEY (key, objective)) STRICT",
        "CREATE TABLE costs (created REAL NOT NULL, stage TEXT NOT NULL, trainings INTEGER NOT NULL, "
        "gradient_passes INTEGER NOT NULL, evaluations INTEGER NOT NULL, seconds REAL NOT NULL) STRICT",
        "CREATE TABLE facts (name TEXT PRIMARY KEY, created REAL NOT NULL, value TEXT NOT NULL) STRICT",
    ),
    (
        # One row per model and task, or part of a task's examples; rows without a model are whole evaluations.
        "ALTER TABLE evaluations ADD COLUMN model TEXT",
        "ALTER TABLE evaluations ADD COLUMN task TEXT",
        "ALTER TABLE evaluations ADD COLUMN part TEXT",
        "CREATE INDEX evaluations_of_models ON evaluations (model, task)",
        "CREATE TABLE failures (number INTEGER PRIMARY KEY, key TEXT NOT NULL, created REAL NOT NULL, "
        "stage TEXT NOT NULL, reason TEXT NOT NULL, counts INTEGER NOT NULL) STRICT",
        "CREATE INDEX failures_of_keys ON failures (key, counts)",
        "CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires REAL NOT NULL) STRICT",
    ),
    (
        # Energy, where it is known, and of how many of the seconds it is.
        "ALTER TABLE costs ADD COLUMN joules REAL",
        "ALTER TABLE costs ADD COLUMN metered_seconds REAL NOT NULL DEFAULT 0.0",
    ),
)
