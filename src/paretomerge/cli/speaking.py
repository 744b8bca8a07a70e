"""How much the command line says: options that stand before or after the verb, and what the library logs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

FLAGS = ("--quiet", "--verbose")
VALUED = ("--progress",)


def to_front(arguments: Sequence[str]) -> list[str]:
    """Arguments with the options of every verb before the verb, where the parser expects them.

    >>> to_front(["front", "recipe.yaml", "--quiet", "--progress", "json"])
    ['--quiet', '--progress', 'json', 'front', 'recipe.yaml']
    """
    general: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if argument == "--":
            rest += [argument, *waiting]
            break
        if argument in FLAGS or argument.startswith(tuple(f"{option}=" for option in VALUED)):
            general.append(argument)
        elif argument in VALUED:
            general += [argument, *waiting[:1]]
            del waiting[:1]
        else:
            rest.append(argument)
    return [*general, *rest]


def log_to_stderr(wanted: bool) -> None:
    """Show what the library logs while it works, or stop showing it.

    Its warnings are left out: verbs say them themselves.
    """
    logger = logging.getLogger("paretomerge")
    for handler in [handler for handler in logger.handlers if isinstance(handler, _Shown)]:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    if wanted:
        logger.addHandler(_Shown())
        logger.setLevel(logging.INFO)


class _Shown(logging.Handler):
    """Lines on what is standard error when they are written, so that a live bar can move out of their way."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        self.addFilter(lambda record: record.levelno < logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)
