"""Progress on standard error: a live line in a terminal, a line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOG_EVERY_SECONDS = 5.0


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done, with the seconds since the start."""
    if quiet:
        yield lambda message: None
    elif sys.stderr.isatty():
        from rich.console import Console

        started = time.monotonic()
        with Console(stderr=True).status("starting") as status:
            yield lambda message: status.update(f"{_plain(message)}  [dim]{time.monotonic() - started:.0f} s[/dim]")
    else:
        yield _Log()


class _Log:
    def __init__(self) -> None:
        self._started = self._last = time.monotonic()

    def __call__(self, message: str) -> None:
        now = time.monotonic()
        if now - self._last >= _LOG_EVERY_SECONDS:
            print(f"[{now - self._started:6.0f} s] {message}", file=sys.stderr, flush=True)
            self._last = now


def _plain(message: str) -> str:
    from rich.markup import escape

    return escape(message)
