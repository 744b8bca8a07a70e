from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

from paretomerge.runs import owners
from paretomerge.runs.owners import is_alive, new_owner


def test_two_names_of_one_process_differ_and_both_live() -> None:
    one, other = new_owner(), new_owner()
    assert one != other
    assert is_alive(one)
    assert is_alive(other)


def test_a_process_that_ended_is_known_to_be_dead() -> None:
    code = "from paretomerge.runs.owners import new_owner; print(new_owner())"
    owner = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert not is_alive(owner)


def test_a_killed_process_that_nobody_waited_for_is_dead() -> None:
    context = multiprocessing.get_context("fork")
    theirs, ours = context.Pipe()
    process = context.Process(target=lambda: theirs.send(new_owner()) or theirs.recv())
    process.start()
    owner = ours.recv()
    assert is_alive(owner)
    process.kill()
    os.waitid(os.P_PID, process.pid or 0, os.WEXITED | os.WNOWAIT)
    assert not is_alive(owner)
    process.join()


def test_a_number_that_was_given_to_a_later_process_is_not_the_owner() -> None:
    host, number, started, word = new_owner().rsplit(":", 3)
    assert not is_alive(f"{host}:{number}:{int(started) - 1}:{word}")


def test_of_another_machine_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = new_owner()
    monkeypatch.setattr(owners.socket, "gethostname", lambda: "elsewhere")
    assert is_alive(owner.replace(f":{os.getpid()}:", ":1:"))
    assert is_alive("some word")
    assert is_alive("host:no-number:0:x")


def test_without_a_process_table_the_number_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere:
        def __init__(self, path: str) -> None: ...
        def read_text(self, encoding: str) -> str:
            raise FileNotFoundError

    monkeypatch.setattr(owners, "Path", Nowhere)
    assert is_alive(new_owner())
