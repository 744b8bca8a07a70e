"""What a study's folder holds: everything that was stored, as values that can be compared."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import load_curvature, open_checkpoint
from paretomerge.errors import ParetomergeError
from paretomerge.runs import Journal

VOLATILE = {"seconds", "joules", "metered_seconds"}
RUN = "recipe-run"
TEMPORARY = (".partial", ".replaced")


@dataclass(frozen=True)
class State:
    """A folder's contents.

    Args:
        files: path → digest; texts without the seconds that they tell.
        evaluations: key → scores of every example.
        facts: name → decision.
        costs: stage → trainings, gradient passes, evaluations.
        temporaries: what was left half-written.
        pieces: what a resumed command finds.
    """

    files: Mapping[str, str]
    evaluations: Mapping[str, Any]
    facts: Mapping[str, Any]
    costs: Mapping[str, tuple[int, ...]]
    temporaries: tuple[str, ...]
    pieces: tuple[str, ...]


def state_of(folder: Path) -> State:
    """Read everything; a file that cannot be read is an error."""
    files, temporaries, pieces = {}, [], []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if any(part.endswith(TEMPORARY) for part in path.relative_to(folder).parts):
            temporaries.append(name)
        elif name.startswith((f"{RUN}/unfinished", f"{RUN}/training")):
            pieces.append(name)
        elif path.is_file() and path.suffix not in (".pyc", ".log") and not path.name.startswith("journal.sqlite"):
            files[name] = _digest(path)
    journal = folder / RUN / "journal.sqlite"
    rows = _journal(journal) if journal.exists() else ({}, {}, {})
    return State(files, *rows, tuple(temporaries), tuple(pieces))


def require_readable(folder: Path) -> None:
    """Open every tensor file under its final name, and check the journal; raises what cannot be read."""
    for path in folder.rglob("*.safetensors"):
        if any(part.endswith(TEMPORARY) for part in path.relative_to(folder).parts):
            continue
        try:
            opened = open_checkpoint(path)
            for name in opened:
                opened[name].sum()
            if path.parent.name == "posteriors" or path.name == "posterior.safetensors":
                load_curvature(path)
        except ParetomergeError as error:
            raise AssertionError(f"{path} cannot be read: {error}") from error
    journal = folder / RUN / "journal.sqlite"
    if journal.exists():
        with Journal(journal) as opened_journal:
            assert opened_journal._database.rows("PRAGMA integrity_check") == [("ok",)]
            assert opened_journal._database.rows("PRAGMA foreign_key_check") == []


def calls_of(folder: Path) -> Counter[str]:
    """Task → how often the evaluator was called."""
    log = folder / "calls.log"
    return Counter(log.read_text().split()) if log.exists() else Counter()


def _digest(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        content = json.dumps(_steady(json.loads(content)), sort_keys=True).encode()
    if path.suffix in (".html", ".png"):  # pictures of what is compared elsewhere, with dates
        content = content[:64] + content[-16:]
    if path.name == "README.md":
        content = re.sub(rb"\d+ s\b", b"? s", content)
    return hashlib.sha256(content).hexdigest()


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _steady(inner) for name, inner in value.items() if name not in VOLATILE}
    return [_steady(inner) for inner in value] if isinstance(value, list) else value


def _journal(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, tuple[int, ...]]]:
    with Journal(path):  # migrates, and recovers what a killed process left in the log
        pass
    connection = sqlite3.connect(path)
    try:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "evaluations" not in tables:
            return {}, {}, {}
        examples: dict[str, list[Any]] = {}
        for key, objective, blob in connection.execute(
            "SELECT key, objective, scores FROM examples ORDER BY objective"
        ):
            examples.setdefault(key, []).append((objective, hashlib.sha256(blob).hexdigest()))
        evaluations = {
            key: (values, stderr, task, part, tuple(examples.get(key, ())))
            for key, values, stderr, task, part in connection.execute(
                'SELECT key, "values", stderr, task, part FROM evaluations'
            )
        }
        facts = {
            name: json.dumps(_steady(json.loads(value)), sort_keys=True)
            for name, value in connection.execute("SELECT name, value FROM facts")
        }
        costs = {
            stage: tuple(numbers)
            for stage, *numbers in connection.execute(
                "SELECT stage, SUM(trainings), SUM(gradient_passes), SUM(evaluations) FROM costs GROUP BY stage"
            )
        }
        return evaluations, facts, {stage: numbers for stage, numbers in costs.items() if any(numbers)}
    finally:
        connection.close()
