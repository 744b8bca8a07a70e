"""Warnings of this package as lines like any other message; those of other packages stay as they are."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).parents[1])


@contextmanager
def spoken_warnings() -> Iterator[None]:
    """Inside, `warnings.warn("…")` of this package writes `warning: …` to standard error."""
    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any, **named: Any
        ) -> None:
            if category is UserWarning and filename.startswith(_PACKAGE):
                print(f"warning: {message}", file=sys.stderr)
            else:
                before(message, category, filename, lineno, *rest, **named)

        warnings.showwarning = show
        yield
