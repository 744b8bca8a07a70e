from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretomerge.errors import StorageError
from paretomerge.runs import Claims, Journal, alone


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def test_of_two_only_one_gets_an_evaluation_until_it_gives_it_back(journal: Journal) -> None:
    one, other = Claims(journal), Claims(journal)
    assert one.take("k")
    assert not other.take("k")
    one.give_back("k")
    assert other.take("k")
    assert not one.take("k")
    one.close()
    assert not Claims(journal).take("k")
    other.close()


def test_closing_gives_everything_back_and_ends_the_thread(journal: Journal) -> None:
    before = threading.active_count()
    claims = Claims(journal)
    assert threading.active_count() == before
    assert claims.take("a")
    assert claims.take("b")
    assert threading.active_count() == before + 1
    claims.close()
    assert threading.active_count() == before
    other = Claims(journal)
    assert other.take("a")
    assert other.take("b")
    other.close()
    Claims(journal).close()


def test_a_claim_lives_as_long_as_its_owner_is_at_work(journal: Journal) -> None:
    claims, other = Claims(journal, seconds=0.4), Claims(journal)
    assert claims.take("k")
    time.sleep(1.0)
    assert not other.take("k")
    claims.close()
    assert other.take("k")
    other.close()


def test_a_disk_that_refuses_a_sign_of_life_does_not_end_the_work(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = threading.Event()

    def renew(self: Journal, owner: str, seconds: float) -> None:
        refused.set()
        raise StorageError("no")

    monkeypatch.setattr(Journal, "renew", renew)
    claims = Claims(journal, seconds=0.05)
    assert claims.take("k")
    assert refused.wait(10)
    time.sleep(0.05)
    assert claims._thread is not None
    assert claims._thread.is_alive()
    claims.close()


def test_a_claim_of_a_living_process_holds_whatever_the_clock_says(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Claims(journal), Claims(journal)
    assert one.take("k")
    now = time.time
    for jump in (86400.0, -86400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: now() + jump)
        assert not other.take("k")
    monkeypatch.undo()
    one.close()
    other.close()


@pytest.mark.parametrize(("ends", "holds"), [(100.0, True), (-1.0, False), (86400.0, False)])
def test_a_claim_of_another_machine_holds_as_long_as_claims_do(journal: Journal, ends: float, holds: bool) -> None:
    """One that would hold for a day was made by a clock that has been put back since."""
    with journal._database.transaction() as connection:
        connection.execute("INSERT INTO claims VALUES ('k', 'elsewhere:1:2:word', ?)", (time.time() + ends,))
    claims = Claims(journal)
    assert claims.take("k") != holds
    claims.close()


def test_work_for_all_is_done_by_one_while_the_others_wait(journal: Journal) -> None:
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with Journal(journal.path) as own, alone(own, "fit", waits.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with alone(journal, "fit", lambda: order.append("waited for nobody")):
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_claim_without_memory_for_a_thread_can_still_be_closed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    claims = Claims(journal)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        claims.take("k")
    claims.close()
