"""A file is written whole or not at all."""

import os

import pytest

from paretomerge.checkpoints.atomic import write_bytes
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
