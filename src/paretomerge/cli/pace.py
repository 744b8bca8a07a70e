"""How far work is and how long it will still take, from messages that count: `evaluation 3 of 7`.

    evaluation 3 of 7            the third is begun, two are done
    training 3 of 7 done         three are done
    3 of 7 MiB                   an amount: three are done
    evaluation 3 of at most 15   the same, with a total that need not be reached

What is left is estimated from items that were done in this sitting alone: what a resumed run recalls takes no time and
tells nothing. There is no estimate before two items are done, and the first, which warms up, stops counting after that.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

_COUNTED = re.compile(
    r"(?P<word>[A-Za-z]+ )?\b(?P<number>\d+) of (?P<most>at most )?(?P<total>\d+)\b(?P<done> done\b)?"
)
_NUMBER = re.compile(r"\d+(\.\d+)?")
_MARKS = 16


@dataclass(frozen=True)
class Step:
    """Where the work is.

    Args:
        message: what is being done.
        stage: the same without its numbers: steps of one stage are of one kind.
        done: items that are done.
        total: items in all; `None` where the message does not count.
        is_ceiling: whether fewer than `total` may be enough.
        remaining: seconds that the stage will still take (at most, with a ceiling); `None` where nobody can know yet.
    """

    message: str
    stage: str
    done: int
    total: int | None
    is_ceiling: bool = False
    remaining: float | None = None


class Pace:
    """Turns messages into steps, and remembers how fast the items of every stage went."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._marks: dict[str, deque[tuple[float, int]]] = {}
        self._last: Step | None = None
        self._rate: float | None = None
        self._at = 0.0

    def note(self, message: str, now: float) -> Step:
        """The step that a message at the time `now`, in seconds, stands for."""
        found = _COUNTED.search(message)
        if found is None or int(found["total"]) == 0:
            self._rate, self._last = None, Step(message, _stage_of(message), 0, None)
            return self._last
        number, total = min(int(found["number"]), int(found["total"])), int(found["total"])
        stage = _stage_of(message[: found.start("number")])
        done = number if found["done"] or found["word"] is None else max(0, number - 1)
        self._rate, self._at = self._seconds_per_item(stage, done, now), now
        self._last = Step(message, stage, done, total, found["most"] is not None)
        return self.at(now)

    def at(self, now: float) -> Step:
        """The last step, with what remains of its stage at a later time."""
        step = self._last or Step("", "", 0, None)
        if step.total is None or self._rate is None:
            return step
        left = self._rate * (step.total - step.done) - (now - self._at)
        return Step(step.message, step.stage, step.done, step.total, step.is_ceiling, max(0.0, left))

    def _seconds_per_item(self, stage: str, done: int, now: float) -> float | None:
        marks = self._marks.setdefault(stage, deque(maxlen=_MARKS))
        if marks and done < marks[-1][1]:
            marks.clear()  # the stage began anew, on something else
        if not marks or done > marks[-1][1]:
            marks.append((now, done))
        first, last = marks[1] if len(marks) > 3 else marks[0], marks[-1]
        items = last[1] - first[1]
        return (last[0] - first[0]) / items if items >= 2 else None


def said(step: Step) -> str:
    """The message, and what remains in words."""
    if step.remaining is None:
        return step.message
    return f"{step.message}, {'at most' if step.is_ceiling else 'about'} {duration(step.remaining)} left"


def duration(seconds: float) -> str:
    """Seconds as people say them, no more precise than an estimate is.

    >>> duration(7.2), duration(64), duration(600), duration(9000)
    ('10 s', '1.1 min', '10 min', '2.5 h')
    """
    if seconds < 59:
        return f"{max(5, 5 * round(seconds / 5 + 0.49)):.0f} s"
    minutes = seconds / 60
    if minutes < 100:
        return f"{minutes:.1f} min" if minutes < 9.95 else f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h"


def _stage_of(text: str) -> str:
    return _NUMBER.sub("#", text).strip(" :,") or "work"
