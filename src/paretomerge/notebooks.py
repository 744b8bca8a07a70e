"""Rich displays in notebooks, at no cost outside them: IPython is asked only where it is already running.

The displays themselves are in `paretomerge.reports.displays`, which is imported when the first one is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

DISPLAYS = {
    ("paretomerge.types.scores", "Scores"): "scores_html",
    ("paretomerge.types.front", "Front"): "front_html",
    ("paretomerge.choices.choice", "Choice"): "choice_html",
}
"""(Module, class) → the function of `paretomerge.reports.displays` that gives its HTML."""


def register_displays(shell: Any = None) -> bool:
    """Let `Scores`, `Front` and `Choice` show themselves as HTML in a notebook; whether there is one.

    Args:
        shell: IPython's shell, as `get_ipython()` gives it; by default the one that runs, if any.
    """
    shell = _running_shell() if shell is None else shell
    formatter = getattr(shell, "display_formatter", None)
    if formatter is None:
        return False
    for (module, name), function in DISPLAYS.items():
        formatter.formatters["text/html"].for_type_by_name(module, name, _on_first_use(function))
    return True


def _running_shell() -> Any:
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if find is None else find()


def _on_first_use(function: str) -> Callable[[Any], str]:
    def show(shown: Any) -> str:
        return getattr(import_module("paretomerge.reports.displays"), function)(shown)

    return show
