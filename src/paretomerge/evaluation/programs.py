"""Running a program of the user's own to its end: without a shell, with a time limit, and leaving no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
LARGEST_OUTPUT = 256 << 20
"""Bytes; the scores of ten million examples have less."""

_LINES, _CHARACTERS = 12, 1500
"""Of a program's messages, how much an error shows."""


class ProgramError(Exception):
    """A program that did not end well; `may_pass` says whether another try makes sense."""

    def __init__(self, message: str, *, may_pass: bool) -> None:
        """What went wrong."""
        super().__init__(message)
        self.may_pass = may_pass


def run_program(words: Sequence[str], variables: Mapping[str, str], timeout: float, folder: Path | None = None) -> str:
    """Run a program and return its standard output, as text.

    Args:
        words: program and arguments.
        variables: of the environment, beside those of this process.
        timeout: seconds.
        folder: where it runs.

    Raises:
        ProgramError: it cannot be started, ended with another status than 0, or took too long.
    """
    # Files and not pipes: what the program leaves running would hold a pipe open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                list(words),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, **variables},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ProgramError(f"{words[0]} cannot be started: {error}", may_pass=False) from error
        try:
            with _ending_with_us(process):
                status = _wait(process, timeout, (out, err))
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise ProgramError(
                f"{words[0]} was still running after {timeout:g} s and was ended: give it more time with `timeout`."
                f"{_tail(err)}",
                may_pass=False,
            ) from error
        finally:
            _end(process)
        _require_short(words, (out, err))
        if status:
            raise ProgramError(f"{words[0]} ended {_said(status)}.{_tail(err)}", may_pass=True)
        out.seek(0)
        return out.read().decode("utf-8", errors="replace")


def _wait(process: subprocess.Popen[bytes], timeout: float, files: Sequence[IO[bytes]]) -> int:
    """Its status; a program that prints without end is ended before the disk is full."""
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            return process.wait(max(0.0, min(_LOOK_SECONDS, left)))
        except subprocess.TimeoutExpired:
            if left <= _LOOK_SECONDS:
                raise
            if _longest(files) > LARGEST_OUTPUT:
                return 0  # its output is refused


def _require_short(words: Sequence[str], files: Sequence[IO[bytes]]) -> None:
    if _longest(files) > LARGEST_OUTPUT:
        raise ProgramError(
            f"{words[0]} printed {_longest(files) >> 20} MiB, at most {LARGEST_OUTPUT >> 20} are read: print scores "
            "alone, and write everything else to a file",
            may_pass=False,
        )


def _longest(files: Sequence[IO[bytes]]) -> int:
    return max(os.fstat(file.fileno()).st_size for file in files)


@contextmanager
def _ending_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """When this process is told to end (as worker processes are), the program ends too."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end_both(number: int, frame: FrameType | None) -> None:
        _end(process, grace=0.5)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(signal.SIGTERM, end_both)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(process: subprocess.Popen[bytes], grace: float = _GRACE_SECONDS) -> None:
    """End the program and everything that it started in its group: first asked to, then forced."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    if process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _said(status: int) -> str:
    if status > 0:
        return f"with status {status}"
    with suppress(ValueError):
        name = signal.Signals(-status).name
        return f"by {name}" + (" (often because memory ran out)" if name == "SIGKILL" else "")
    return f"by signal {-status}"


def _tail(file: IO[bytes]) -> str:
    """The last lines of a program's messages."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - 4 * _CHARACTERS))
    text = file.read().decode("utf-8", errors="replace").strip()
    lines = "\n".join(text.splitlines()[-_LINES:])[-_CHARACTERS:]
    return f" It said:\n{lines}" if lines else " It said nothing on standard error."
