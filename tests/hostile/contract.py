"""What every hostile input must end in: accepted, or one of our errors with a message; soon, in little memory, alone.

`outcome_of(call, folder)` runs one use of an input and raises `BrokenPromiseError` where

- an exception comes through that is none of `paretomerge.errors`, or one without a message that can be printed;
- it takes longer than `SECONDS`, or more memory than `MEBIBYTES` on top of what the process has;
- a file outside of `folder` is opened for writing, made, moved or removed, or one of `SECRETS` is opened at all;
- a process is started, or a network connection made.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from paretomerge.errors import ParetomergeError

SECONDS = 10
MEBIBYTES = 512
LONGEST_MESSAGE = 400_000

SECRET_WORD = "hostile-secret"
"""Part of the names of files that inputs point to and nobody may open."""

SECRETS = (SECRET_WORD, "/etc/passwd", "/etc/hostname")

STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "socket.connect")
CHANGING = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.truncate", "os.chmod")

Outcome = Literal["accepted", "refused"]


class BrokenPromiseError(AssertionError):
    """An input did what none may do."""


class TooSlowError(BaseException):
    """No code that catches `Exception` can keep going."""


class _Watch:
    """What the audit hook sees while one input is used; hooks cannot be taken away again, so there is one."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in STARTING:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event in CHANGING:
            paths = [os.fspath(path) for path in arguments[:2] if isinstance(path, str | os.PathLike)]
            self.seen.extend(f"{event} {path}" for path in paths if not self._is_inside(path))
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.fsdecode(arguments[0])
            if any(secret in path for secret in SECRETS) or SECRET_WORD in os.path.realpath(path):
                self.seen.append(f"read {path}")
            flags = arguments[2] if len(arguments) > 2 and isinstance(arguments[2], int) else 0
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not self._is_inside(path):
                self.seen.append(f"wrote {path}")

    def _is_inside(self, path: str) -> bool:
        assert self.folder is not None
        real = os.path.realpath(path)
        return real.startswith((self.folder, "/dev/", "/proc/")) or "__pycache__" in real


_watch: _Watch | None = None


def outcome_of(call: Callable[[], object], folder: Path) -> Outcome:
    """Use one input; whether it was accepted or refused, else `BrokenPromiseError`."""
    global _watch
    _watch = _watch or _Watch()
    _watch.seen, _watch.folder = [], os.path.realpath(folder)
    try:
        with _bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
        found: Outcome = "accepted"
    except ParetomergeError as error:
        _require_message(error)
        found = "refused"
    except TooSlowError:
        raise BrokenPromiseError(f"took more than {SECONDS} s") from None
    except BaseException as error:
        raise BrokenPromiseError(f"{type(error).__name__}: {str(error)[:300]}") from error
    finally:
        _watch.folder = None
    if _watch.seen:
        raise BrokenPromiseError("; ".join(_watch.seen[:3]))
    return found


def _require_message(error: ParetomergeError) -> None:
    message = str(error)
    if not message.strip():
        raise BrokenPromiseError(f"{type(error).__name__} without a message")
    if len(message) > LONGEST_MESSAGE:
        raise BrokenPromiseError(f"a message of {len(message)} characters")
    if "MemoryError" in message or "allocate memory" in message:
        raise BrokenPromiseError(f"took too much memory: {message[:300]}")
    try:
        message.encode()
    except UnicodeEncodeError as problem:
        raise BrokenPromiseError("a message that cannot be printed") from problem


@contextmanager
def _bounded() -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise TooSlowError

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, stop)
    resource.setrlimit(resource.RLIMIT_AS, (_size() + (MEBIBYTES << 20), hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _size() -> int:
    """Bytes of address space that the process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()
