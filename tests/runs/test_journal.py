from __future__ import annotations

import multiprocessing
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paretomerge.errors import InputError, StorageError
from paretomerge.evaluation import Evaluation
from paretomerge.runs import Journal, StoredFailure, evaluation_key
from paretomerge.runs.migrations import MIGRATIONS
from paretomerge.runs.owners import new_owner
from paretomerge.types import Ledger

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(st.characters(codec="utf-8"), max_size=20)


def _evaluation(value: float = 1.0) -> Evaluation:
    return Evaluation(np.array([value]), np.array([0.1]), {"a": np.array([value, value])})


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


@given(
    columns=st.lists(st.tuples(names, hnp.arrays(np.float64, st.integers(1, 5), elements=finite)), max_size=4),
    means=st.lists(finite, max_size=4),
    key=names,
)
@settings(max_examples=40)
def test_an_evaluation_comes_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, columns: list[tuple[str, np.ndarray]], means: list[float], key: str
) -> None:
    examples = dict(columns)
    path = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    with Journal(path) as journal:
        assert journal.recall(key) is None
        journal.remember(key, Evaluation(np.array(means), np.abs(means), examples), {"weights": [0.5]})
    with Journal(path) as journal:
        found = journal.recall(key)
    assert found is not None
    assert found.values.tolist() == means
    assert found.stderr.tolist() == np.abs(means).tolist()
    assert list(found.examples) == list(examples)
    for name, column in examples.items():
        assert found.examples[name].tobytes() == column.tobytes()


def test_the_first_evaluation_of_a_key_stays(journal: Journal) -> None:
    journal.remember("k", _evaluation(1.0), {})
    journal.remember("k", _evaluation(2.0), {})
    found = journal.recall("k")
    assert found is not None
    assert found.values.tolist() == [1.0]
    assert found.examples["a"].tolist() == [1.0, 1.0]
    assert journal.count() == 1


def test_costs_add_up_over_sittings_in_the_order_of_the_stages(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path / "j") as journal:
            journal.charge("fit", Ledger(gradient_passes=5, seconds=0.5))
            journal.charge("evaluate", Ledger(evaluations=2, trainings=1))
    with Journal(tmp_path / "j") as journal:
        ledger = journal.ledger()
    assert list(ledger) == ["fit", "evaluate"]
    assert ledger == {"fit": Ledger(0, 10, 0, 1.0), "evaluate": Ledger(2, 0, 4, 0.0)}


@pytest.mark.parametrize("what", ["remember", "store", "charge", "fail", "note", "forgive"])
def test_what_is_stored_survives_a_power_failure_and_claims_need_not(journal: Journal, what: str) -> None:
    connection = journal._database.connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    journal.claim("k", "me", 1.0)
    assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
    arguments: dict[str, tuple[Any, ...]] = {
        "remember": ("k", _evaluation(), {}),
        "store": ("k", [("row", "a", None, _evaluation())], {}),
        "charge": ("s", Ledger()),
        "fail": ("k", "s", "reason"),
        "note": ("name", 1),
        "forgive": (["k"],),
    }
    getattr(journal, what)(*arguments[what])
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_facts_are_replaced_and_missing_ones_are_none(journal: Journal) -> None:
    assert journal.fact("choice") is None
    journal.note("choice", {"point": 3, "rule": "knee"})
    journal.note("choice", {"point": 4, "wishes": [0.1, None]})
    assert journal.fact("choice") == {"point": 4, "wishes": [0.1, None]}


def test_what_fails_half_way_leaves_nothing(journal: Journal) -> None:
    broken = Evaluation(np.array([1.0]), np.array([0.0]), {"good": np.ones(2), "bad": np.array(["x"], dtype=object)})
    with pytest.raises(ValueError, match="could not convert"):
        journal.remember("k", broken, {})
    assert journal.count() == 0
    journal.remember("k", _evaluation(), {})
    assert journal.count() == 1


def test_a_full_disk_is_a_storage_error_and_the_journal_stays_usable(journal: Journal) -> None:
    journal.remember("small", _evaluation(), {})
    pages = journal._database.connection.execute("PRAGMA page_count").fetchone()[0]
    journal._database.connection.execute(f"PRAGMA max_page_count = {pages}")
    large = Evaluation(np.array([1.0]), np.array([0.0]), {"a": np.zeros(100_000)})
    with pytest.raises(StorageError, match=r"journal\.sqlite: database or disk is full"):
        journal.remember("large", large, {})
    journal._database.connection.execute("PRAGMA max_page_count = 100000")
    assert journal.recall("large") is None
    journal.remember("large", large, {})
    assert journal.count() == 2


def test_a_disk_that_refuses_a_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot create the journal"):
        Journal(tmp_path / "file" / "journal.sqlite")
    (tmp_path / "folder.sqlite").mkdir()
    with pytest.raises(StorageError, match="cannot use the journal"):
        Journal(tmp_path / "folder.sqlite")


def _read_everything(path: Path) -> None:
    with Journal(path) as journal:
        journal.recall("7")
        journal.count()


@pytest.mark.parametrize("content", [b"this is no database, it is a long sentence about one. " * 40, "half"])
def test_a_damaged_journal_is_an_input_error_with_advice(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "journal.sqlite"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with Journal(path) as journal:
            for number in range(50):
                journal.remember(str(number), _evaluation(), {})
        whole = bytearray(path.read_bytes())
        whole[4096:] = b"\x5a" * (len(whole) - 4096)
        path.write_bytes(whole)
    with pytest.raises(InputError, match=r"is not a journal .*: it was damaged or overwritten"):
        _read_everything(path)


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(InputError, match=f"newer version.*journal version {len(MIGRATIONS) + 1}.*upgrade paretomerge"):
        Journal(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0


def _write(path: Path, worker: int, count: int) -> None:
    for number in range(count):
        with Journal(path) as journal:
            journal.remember(f"shared {number}", _evaluation(number), {"worker": worker})
            journal.remember(f"{worker} {number}", _evaluation(number), {})
            journal.charge("stage", Ledger(evaluations=1))


def test_two_processes_share_one_journal_from_its_first_moment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path = tmp_path / "journal.sqlite"
    workers = [context.Process(target=_write, args=(path, worker, 25)) for worker in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(60)
    assert [process.exitcode for process in workers] == [0, 0]
    with Journal(path) as journal:
        assert journal.count() == 75
        assert journal.ledger()["stage"].evaluations == 50
        found = journal.recall("shared 24")
        assert found is not None
        assert found.values.tolist() == [24.0]


def test_failures_count_until_they_are_forgiven_and_stay_on_record(journal: Journal) -> None:
    assert journal.fail("k", "front", "out of memory", Ledger(seconds=2.0)) == 1
    assert journal.fail("other", "front", "NaN", counts=2) == 2
    assert journal.fail("k", "verify", "again") == 2
    assert journal.failures("k") == [
        StoredFailure("k", "front", "out of memory", 1),
        StoredFailure("k", "verify", "again", 1),
    ]
    journal.forgive(["k", "unknown"])
    assert [(failure.key, failure.counts) for failure in journal.failures()] == [("k", 0), ("other", 2), ("k", 0)]
    assert journal.fail("k", "front", "once more") == 1
    assert journal.ledger() == {"front": Ledger(seconds=2.0)}


def test_a_claim_keeps_others_away_until_it_ends(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert journal.claim("k", "me", 100.0)
    assert journal.claim("k", "me", 100.0)
    assert not journal.claim("k", "you", 100.0)
    assert journal.claim("another", "you", 100.0)
    journal.release("you", "k")  # not theirs
    assert not journal.claim("k", "you", 100.0)
    journal.release("me", "k")
    assert journal.claim("k", "you", 100.0)
    journal.release("you")
    assert journal.claim("k", "me", 100.0)
    assert journal.claim("another", "me", 100.0)


@pytest.mark.parametrize("ending", ["fail", "store"])
def test_a_result_ends_the_claim(journal: Journal, ending: str) -> None:
    journal.claim("k", "me", 100.0)
    if ending == "fail":
        journal.fail("k", "front", "reason")
    else:
        journal.store("k", [("row", "a", None, _evaluation())], {})
    assert journal.claim("k", "you", 100.0)


def test_a_claim_that_is_not_renewed_runs_out(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    journal.claim("renewed", "me", 10.0)
    journal.claim("forgotten", "me too", 10.0)
    monkeypatch.setattr("paretomerge.runs.journal.time.time", lambda: now + 8)
    journal.renew("me", 10.0)
    monkeypatch.setattr("paretomerge.runs.journal.time.time", lambda: now + 12)
    assert not journal.claim("renewed", "you", 10.0)
    assert journal.claim("forgotten", "you", 10.0)


def test_the_claim_of_a_dead_process_is_free_at_once(journal: Journal) -> None:
    context = multiprocessing.get_context("fork")
    theirs, ours = context.Pipe()

    def claim() -> None:
        owner = new_owner()
        with Journal(journal.path) as opened:
            theirs.send(opened.claim("k", owner, 1000.0))
        time.sleep(60)

    process = context.Process(target=claim)
    process.start()
    assert ours.recv()
    assert not journal.claim("k", new_owner(), 1000.0)
    process.kill()
    process.join()
    assert journal.claim("k", new_owner(), 1000.0)


def test_models_are_counted_once_and_parts_of_evaluations_not_at_all(journal: Journal) -> None:
    journal.store("m", [("m a", "a", None, _evaluation()), ("m b", "b", None, _evaluation())], {})
    journal.store("n", [("n a 0", "a", "0:4:0:2", _evaluation())], {}, ("race", Ledger(evaluations=1)))
    journal.remember("whole", _evaluation(), {})
    assert journal.count() == 2
    assert journal.parts("n", "a") == [("n a 0", "0:4:0:2")]
    assert journal.parts("m", "a") == []
    assert journal.ledger()["race"].evaluations == 1


def test_what_cannot_be_stored_charges_nothing(journal: Journal) -> None:
    broken = Evaluation(np.array([1.0]), np.array([0.0]), {"bad": np.array(["x"], dtype=object)})
    journal.claim("m", "me", 100.0)
    with pytest.raises(ValueError, match="could not convert"):
        journal.store(
            "m", [("a", "a", None, _evaluation()), ("b", "b", None, broken)], {}, ("s", Ledger(evaluations=1))
        )
    assert journal.count() == 0
    assert journal.ledger() == {}
    assert not journal.claim("m", "you", 100.0)


def test_keys_depend_on_everything_but_the_order_of_the_parts() -> None:
    row = np.array([0.25, 0.75])
    key = evaluation_key(weights=row, split="test")
    assert key == evaluation_key(split="test", weights=row.copy())
    assert key != evaluation_key(split="validation", weights=row)
    assert key != evaluation_key(split="test", weights=row[::-1])
    assert evaluation_key(fit="a") != evaluation_key(rule="a")


def test_rounding_in_the_last_digit_of_a_weighting_keeps_its_key() -> None:
    assert evaluation_key(weights=np.array([0.1 + 0.2])) == evaluation_key(weights=np.array([0.3]))
    assert evaluation_key(weights=np.array([0.3])) != evaluation_key(weights=np.array([0.3001]))


def test_decisions_that_belong_together_are_stored_with_their_cost_or_not_at_all(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        journal.conclude({"a": 1, "b": [2]}, ("fit", Ledger(gradient_passes=3)))
        assert (journal.fact("a"), journal.fact("b")) == (1, [2])
        with pytest.raises(TypeError):
            journal.conclude({"a": 5, "b": object()}, ("fit", Ledger(gradient_passes=3)))
        assert (journal.fact("a"), journal.fact("b")) == (1, [2])
        assert journal.ledger()["fit"].gradient_passes == 3
