"""What `Scores` and `Front` print in a terminal: how many, from where, and the range of every objective."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from paretomerge.types.objectives import Objective

if TYPE_CHECKING:
    from paretomerge.types.scores import Scores

MOST_NAMED = 8
"""Tasks and objectives that are named; the others are counted."""
LONGEST_NAME = 40


def summarise(scores: Scores, heading: str) -> str:
    """`heading`, then a line per objective with its range.

    >>> import numpy as np
    >>> from paretomerge.types import Objective, Scores
    >>> losses = (Objective("a", unit="nats"), Objective("b", "maximise"))
    >>> print(Scores(("a", "b"), np.eye(2), [[0.2, 0.5], [0.7, 0.9]], np.zeros((2, 2)), losses, "merged"))
    Scores of 2 models (2 merged) over the weights of a, b
      a [nats], lower is better: 0.2 to 0.7
      b, higher is better: 0.5 to 0.9
    """
    counts = Counter(scores.origin)
    origins = f" ({', '.join(f'{counts[word]} {word}' for word in sorted(counts))})" if counts else ""
    lines = [f"{heading}{origins} over the weights of {_listed(scores.tasks)}"]
    lines += [_line(scores, column) for column in range(min(len(scores.objectives), MOST_NAMED))]
    if len(scores.objectives) > MOST_NAMED:
        lines.append(f"  and {len(scores.objectives) - MOST_NAMED} more objectives")
    return "\n".join(lines)


def counted(count: int, noun: str) -> str:
    """`count` and `noun`, in the plural unless it is one.

    >>> counted(1, "point"), counted(0, "model")
    ('1 point', '0 models')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _line(scores: Scores, column: int) -> str:
    values = scores.values[:, column]
    shown = f": {values.min():.4g} to {values.max():.4g}" if len(values) else ""
    return f"  {_named(scores.objectives[column])}{shown}"


def _named(objective: Objective) -> str:
    unit = f" [{objective.unit}]" if objective.unit else ""
    return f"{_short(objective.name)}{unit}, {'lower' if objective.sign > 0 else 'higher'} is better"


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(_short(name) for name in names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def _short(name: str) -> str:
    """On one line, without what would control the terminal."""
    line = "".join(letter if letter.isprintable() else " " for letter in name)
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"
