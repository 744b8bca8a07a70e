"""Progress on standard error: a live bar in a terminal, lines in a log, JSON lines for programs, or nothing.

The first of these that says something decides: `--quiet`, `--progress`, the variable `PARETOMERGE_PROGRESS`, the verb
(which shows nothing beside `--json`), and whether standard error is a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from paretomerge.cli.pace import Pace, said
from paretomerge.errors import InputError, nearest

if TYPE_CHECKING:
    from rich.progress import Progress

Mode = Literal["auto", "bar", "lines", "json", "off"]
VARIABLE = "PARETOMERGE_PROGRESS"

_LOG_EVERY_SECONDS = 5.0
_JSON_EVERY_SECONDS = 0.2
_chosen: ContextVar[Mode | None] = ContextVar("progress mode", default=None)

Show = Callable[[str], None]


def choose_mode(text: str | None, quiet: bool = False) -> None:
    """What `--progress` and `--quiet` ask for, until the next call.

    Raises:
        InputError: an unknown mode, here or in the environment.
    """
    named, source = (text, "--progress") if text is not None else (os.environ.get(VARIABLE) or None, VARIABLE)
    if named is not None and named not in get_args(Mode):
        raise InputError(f"{source} {named!r}{nearest(named, get_args(Mode))}: one of {', '.join(get_args(Mode))}")
    _chosen.set("off" if quiet else named)  # type: ignore[arg-type]


def mode_of(quiet: bool = False) -> Mode:
    """How progress is shown now; `quiet` is a verb's own wish, which a mode that was asked for overrules."""
    chosen = _chosen.get()
    if chosen is None and quiet:
        return "off"
    if chosen in (None, "auto"):
        return "bar" if sys.stderr.isatty() else "lines"
    assert chosen is not None
    return chosen


@contextmanager
def shown_progress(quiet: bool = False) -> Iterator[Show]:
    """A function that shows what is being done, how far it is and what remains; `cli.pace` reads its messages."""
    mode = mode_of(quiet)
    if mode == "off":
        yield lambda message: None
    elif mode == "json":
        yield _JsonLines()
    elif mode == "lines":
        yield _Log()
    else:
        with _bar() as (bar, pace):
            task = bar.add_task("starting", total=None)

            def show(message: str) -> None:
                step = pace.note(message, time.monotonic())
                bar.update(task, description=_plain(message), completed=step.done, total=step.total)

            yield show


@contextmanager
def _bar() -> Iterator[tuple[Progress, Pace]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    pace = Pace()

    class Remaining(ProgressColumn):
        def render(self, task: Any) -> Text:
            step = pace.at(time.monotonic())
            return Text(
                "" if step.remaining is None else said(step).removeprefix(step.message).lstrip(", "), style="cyan"
            )

    console = Console(stderr=True, force_terminal=True if _chosen.get() == "bar" else None)
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        Remaining(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar, pace


class _Log:
    """A line every few seconds."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._pace = Pace()

    def __call__(self, message: str) -> None:
        now = time.monotonic()
        step = self._pace.note(message, now)
        if now - self._last >= _LOG_EVERY_SECONDS:
            print(f"[{now - self._started:6.0f} s] {said(step)}", file=sys.stderr, flush=True)
            self._last = now


class _JsonLines:
    """`{"time", "stage", "message", "done", "total", "at_most", "remaining_s"}`, a line per message.

    Messages of one stage that follow each other within a fraction of a second are left out, but for the last item.
    """

    def __init__(self) -> None:
        self._pace = Pace()
        self._last: tuple[float, str] | None = None

    def __call__(self, message: str) -> None:
        now = time.monotonic()
        step = self._pace.note(message, now)
        is_new = self._last is None or self._last[1] != step.stage or now - self._last[0] >= _JSON_EVERY_SECONDS
        if not is_new and (step.total is None or step.done < step.total):
            return
        self._last = now, step.stage
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "stage": step.stage,
            "message": step.message,
            "done": step.done,
            "total": step.total,
            "at_most": step.is_ceiling,
            "remaining_s": None if step.remaining is None else round(step.remaining, 1),
        }
        print(json.dumps(line, ensure_ascii=False), file=sys.stderr, flush=True)


def _plain(message: str) -> str:
    from rich.markup import escape

    return escape(message)
