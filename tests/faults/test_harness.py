"""The harness itself: faults happen where they are said to, and careless writing is found out."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.plans import CHANGES, operations_of, places
from tests.faults.power import fail_power
from tests.faults.running import Mode, can_inject, compile_library

ARM = """
import ctypes, os, sys
folder, log, shadow = sys.argv[1:4]
library = ctypes.CDLL(None)
library.fault_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, *[ctypes.c_char_p] * 3]
library.fault_arm(*map(int, sys.argv[4:7]), folder.encode(), log.encode(), shadow.encode())
os.chdir(folder)
"""
CARELESS = """
with open("new", "w") as handle:
    handle.write("new content")
os.replace("new", "file")
"""
CAREFUL = """
with open("new", "w") as handle:
    handle.write("new content")
    handle.flush()
    os.fsync(handle.fileno())
os.replace("new", "file")
descriptor = os.open(".", os.O_RDONLY)
os.fsync(descriptor)
"""

pytestmark = pytest.mark.skipif(not can_inject(), reason="faults are injected on Linux with a C compiler")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library(tmp_path_factory.mktemp("library"))


def _run(
    library: Path, place: Path, code: str, mode: Mode, at: int, number: int = 0, power: bool = False
) -> tuple[subprocess.CompletedProcess[str], Path, str]:
    folder, shadow, log = place / "folder", place / "shadow", place / "log"
    for new in (folder, shadow):
        new.mkdir(parents=True)
    (folder / "file").write_text("old content")
    arguments = [str(folder), str(log), str(shadow) if power else "", str(int(mode)), str(at), str(number)]
    ended = subprocess.run(
        [sys.executable, "-c", ARM + code, *arguments],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
    )
    if power:
        fail_power(log.read_text(), shadow, names_too=False)
    return ended, folder, log.read_text()


def test_every_operation_that_changes_something_is_counted(library: Path, tmp_path: Path) -> None:
    ended, _, log = _run(library, tmp_path, CAREFUL + "os.mkdir('a'); os.rmdir('a'); os.unlink('file')", Mode.COUNT, 0)
    assert ended.returncode == 0, ended.stderr
    assert operations_of(log) == ["create", "write", "sync", "rename", "sync", "make", "remove", "remove"]


@pytest.mark.parametrize(
    ("mode", "content"), [(Mode.KILL_BEFORE, ""), (Mode.KILL_TORN, "new c"), (Mode.KILL_AFTER, "new content")]
)
def test_a_write_is_killed_before_within_and_after(library: Path, tmp_path: Path, mode: Mode, content: str) -> None:
    ended, folder, _ = _run(library, tmp_path, CAREFUL, mode, 2)
    assert ended.returncode == -signal.SIGKILL
    assert (folder / "new").read_text() == content
    assert (folder / "file").read_text() == "old content"


@pytest.mark.parametrize(("mode", "lasts"), [(Mode.ERROR_ONCE, False), (Mode.ERROR_FROM, True)])
def test_a_disk_is_full_once_or_from_then_on(library: Path, tmp_path: Path, mode: Mode, lasts: bool) -> None:
    code = """
for name in "ab":
    try:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        print(name, error.errno)
os.unlink("file")
"""
    ended, folder, _ = _run(library, tmp_path, code, mode, 1, errno.ENOSPC)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"a {errno.ENOSPC}\n" + f"b {errno.ENOSPC}\n" * lasts
    assert (folder / "b").exists() != lasts
    assert not (folder / "file").exists()  # which needs no space


def test_a_signal_and_a_read_error_come_where_they_should(library: Path, tmp_path: Path) -> None:
    code = """
try:
    os.mkdir("a")
    os.mkdir("b")
except KeyboardInterrupt:
    pass
"""
    ended, folder, _ = _run(library, tmp_path / "signal", code, Mode.SIGNAL, 1, signal.SIGINT)
    assert sorted(os.listdir(folder)) == ["a", "file"]
    ended, _, _ = _run(library, tmp_path / "read", "open('file').read()", Mode.READ_ERROR, 1, errno.EIO)
    assert os.strerror(errno.EIO) in ended.stderr


@pytest.mark.parametrize(("code", "safe"), [(CARELESS, False), (CAREFUL, True)])
def test_a_power_failure_finds_out_who_does_not_wait_for_the_disk(
    library: Path, tmp_path: Path, code: str, safe: bool
) -> None:
    last = {False: 3, True: 5}[safe]
    ended, folder, log = _run(library, tmp_path, code, Mode.KILL_AFTER, last, power=True)
    assert ended.returncode == -signal.SIGKILL
    assert (folder / "file").read_text() == ("new content" if safe else "")
    fail_power(log, tmp_path / "shadow", names_too=True)
    assert (folder / "file").read_text() == ("new content" if safe else "old content")


@pytest.mark.parametrize("last", range(1, 6))
def test_careful_writing_leaves_the_old_or_the_new_content(library: Path, tmp_path: Path, last: int) -> None:
    _, folder, log = _run(library, tmp_path, CAREFUL, Mode.KILL_AFTER, last, power=True)
    assert (folder / "file").read_text() in ("old content", "new content")
    fail_power(log, tmp_path / "shadow", names_too=True)
    assert (folder / "file").read_text() in ("old content", "new content")


def test_a_removal_that_nobody_waited_for_is_undone(library: Path, tmp_path: Path) -> None:
    _, folder, log = _run(library, tmp_path, "os.unlink('file')", Mode.KILL_AFTER, 1, power=True)
    fail_power(log, tmp_path / "shadow", names_too=True)
    assert (folder / "file").read_text() == "old content"


def test_places_are_spread_over_the_whole_command() -> None:
    operations = ["write", "sync"] * 50
    found = places(operations, ("write",), 5)
    assert all(operations[at - 1] == "write" for at in found)
    assert [(at - 1) // 20 for at in found] == [0, 1, 2, 3, 4]
    assert places(operations[:6], CHANGES, 9) == [1, 2, 3, 4, 5, 6]
