"""Progress on standard error: a live bar in a terminal, a line every few seconds in a log."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOG_EVERY_SECONDS = 5.0
_COUNTED = re.compile(r"\b(\d+) of (\d+)\b")


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done, and for how long; `3 of 7` in a message moves the bar."""
    if quiet:
        yield lambda message: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("starting", total=None)

            def show(message: str) -> None:
                done, total = counted(message)
                bar.update(task, description=_plain(message), completed=done, total=total)

            yield show
    else:
        yield _Log()


def counted(message: str) -> tuple[int, int | None]:
    """How far a message says the work is; `(0, None)` when it does not say.

    >>> counted("evaluation 3 of 7")
    (3, 7)
    """
    found = _COUNTED.search(message)
    if not found or int(found[2]) == 0:
        return 0, None
    return min(int(found[1]), int(found[2])), int(found[2])


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
