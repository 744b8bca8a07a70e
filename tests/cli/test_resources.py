"""Errors of the machine are told as such, and not as bugs."""

from __future__ import annotations

import errno
import os

import pytest
import torch

from paretomerge.cli.resources import machine_error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory ran out; what was stored is kept"),
        (RuntimeError("can't start new thread"), "memory ran out"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "the disk refused a/b: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system"), "the disk refused: Read-only file system"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open"),
    ],
)
def test_what_the_machine_lacks_is_said_with_what_to_do(error: Exception, said: str) -> None:
    sentence = machine_error(error)
    assert sentence is not None
    assert sentence.startswith(said)
    assert sentence.endswith("run the same command again")


def test_torch_s_own_words_for_too_little_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert machine_error(caught.value) is not None


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.ENOENT, os.strerror(errno.ENOENT)), KeyError("memory")]
)
def test_anything_else_stays_a_bug(error: Exception) -> None:
    assert machine_error(error) is None
