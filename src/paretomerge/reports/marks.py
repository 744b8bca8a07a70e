"""How the three origins look and are called, in figures, pages and tables alike.

Told apart by shape and by colour; the colours are those of Okabe and Ito (2008, Color Universal Design),
which stay distinct under the common colour vision deficiencies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paretomerge.types import Objective, Origin

INTERVAL = 1.96
"""Every interval shown is the value ± this many standard errors (95 % under a normal distribution)."""


@dataclass(frozen=True)
class Mark:
    """One origin's look.

    Args:
        label: its name in legends.
        meaning: one sentence for readers who do not know the word.
        shape: the marker in matplotlib's letters: `o` circle, `s` square, `D` diamond.
        light: colour on a light background.
        dark: colour on a dark background.
    """

    label: str
    meaning: str
    shape: str
    light: str
    dark: str


MARKS: dict[Origin, Mark] = {
    "predicted": Mark("predicted", "a surrogate's value; no such model was scored", "o", "#0072B2", "#56B4E9"),
    "merged": Mark("merged", "measured on a merged model", "s", "#D55E00", "#F0803C"),
    "trained": Mark("jointly finetuned", "measured on a jointly finetuned model", "D", "#009E73", "#2FC598"),
}

CHOSEN_COLOUR = "#F0E442"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: object, longest: int | None = None) -> str:
    """`text` on one line, without control or text-direction characters, cut to `longest` characters.

    >>> clean("a name" + chr(10) + "on two lines", longest=10)
    'a name on…'
    """
    line = _CONTROL.sub(" ", str(text)).strip()
    if longest is not None and len(line) > longest:
        return line[: longest - 1].rstrip() + "…"
    return line


def better(objective: Objective) -> str:
    """`"lower is better"` or `"higher is better"`."""
    return "lower is better" if objective.direction == "minimise" else "higher is better"


def objective_name(objective: Objective, longest: int | None = None) -> str:
    """The objective's name, with its metric where the name does not already say it.

    >>> objective_name(Objective("loss[movie]", task="movie", metric="loss"))
    'movie loss'
    """
    name = clean(objective.name)
    metric = clean(objective.metric)
    if metric and objective.task and name == clean(f"{objective.metric}[{objective.task}]"):
        name = f"{clean(objective.task)} {metric}"
    elif metric and metric.lower() not in name.lower():
        name = f"{name} {metric}"
    return clean(name, longest)


def objective_label(objective: Objective, longest: int | None = 36) -> str:
    """An axis label: name, unit and direction.

    >>> objective_label(Objective("movie", metric="loss", unit="nats"))
    'movie loss [nats], lower is better'
    """
    unit = f" [{clean(objective.unit, 12)}]" if objective.unit else ""
    return f"{objective_name(objective, longest)}{unit}, {better(objective)}"
