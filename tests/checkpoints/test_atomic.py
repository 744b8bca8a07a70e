"""A file is written whole or not at all."""

import errno
import os
import subprocess
import sys
import time

import pytest

from paretomerge.checkpoints import atomic
from paretomerge.checkpoints.atomic import remove_abandoned, replace_folder, temporary_beside, write_bytes
from paretomerge.errors import StorageError


def test_missing_folders_are_made_and_nothing_else_is_left(tmp_path):
    path = write_bytes(tmp_path / "a" / "b" / "report.html", b"content")
    assert path.read_bytes() == b"content"
    assert [found.name for found in path.parent.iterdir()] == ["report.html"]


def test_an_interrupted_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_bytes(b"old")

    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"cannot write .*report\.html: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StorageError, match="Is a directory"):
        write_bytes(tmp_path / "report.html", b"new")


def left_by_a_dead_process(path, machine=None):
    """A temporary name beside `path` of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    name = temporary_beside(path).name.replace(f"-{os.getpid()}.", f"-{process.pid}.")
    return path.with_name(name if machine is None else name.replace(atomic._machine(), machine))


def test_what_a_killed_process_left_of_a_file_is_removed_when_it_is_written_again(tmp_path):
    path = tmp_path / "report.html"
    left, living = left_by_a_dead_process(path), temporary_beside(path)
    left.write_bytes(b"half")
    living.write_bytes(b"half")
    write_bytes(path, b"content")
    assert {found.name for found in tmp_path.iterdir()} == {"report.html", living.name}


def test_a_process_of_another_machine_is_believed_to_be_at_work_for_a_week(tmp_path):
    """On a shared disk: a process number means nothing here."""
    left = left_by_a_dead_process(tmp_path / "out", "abcdef")
    left.mkdir()
    remove_abandoned(tmp_path / "out")
    assert left.exists()
    os.utime(left, (0, time.time() - 8 * 86400))
    remove_abandoned(tmp_path / "out")
    assert not left.exists()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_name_of_another(tmp_path, monkeypatch, can_exchange):
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
        (folder / folder.name).touch()
    if not can_exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    replace_folder(new, old)
    assert os.listdir(tmp_path) == ["old"]
    assert os.listdir(old) == ["new"]


def test_the_name_is_never_without_a_folder_where_the_disk_exchanges_names(tmp_path, monkeypatch):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    if not atomic._exchange(tmp_path / "new", tmp_path / "old"):
        pytest.skip("this disk cannot exchange two names in one step")
    monkeypatch.setattr(os, "rename", None)  # two steps would need it
    replace_folder(tmp_path / "new", tmp_path / "old")


def test_a_refused_exchange_leaves_both(tmp_path):
    (tmp_path / "new").mkdir()
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        replace_folder(tmp_path / "new", tmp_path / "old")
    assert os.listdir(tmp_path) == ["new"]
