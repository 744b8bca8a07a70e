from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretomerge.errors import StorageError
from paretomerge.runs import Claims, Journal


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
