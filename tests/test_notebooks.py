"""Rich displays are there in a notebook, and cost nothing elsewhere."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from paretomerge import notebooks

IN_A_SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import paretomerge
assert "paretomerge.reports" not in sys.modules and "numpy" not in sys.modules
import numpy as np
from paretomerge.types import Front, Objective
losses = (Objective("a"), Objective("b"))
front = Front(("a", "b"), np.eye(2), np.eye(2), np.zeros((2, 2)), losses, [2, 2], "merged")
format = shell.display_formatter.format
for shown in (front, front.scores, paretomerge.choose(front, paretomerge.Knee())):
    formats, _ = format(shown, include={"text/html", "text/plain"})
    print(type(shown).__name__, "<table>" in formats["text/html"], formats["text/plain"].splitlines()[0])
print(sorted(format(1)[0]))
"""


def test_a_shell_that_runs_shows_scores_fronts_and_choices_as_html():
    pytest.importorskip("IPython")
    done = subprocess.run([sys.executable, "-c", IN_A_SHELL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Front True Front of 2 points (2 merged) over the weights of a, b",
        "Scores True Scores of 2 models (2 merged) over the weights of a, b",
        "Choice True Choice of point 0 (merged): a 1, b 0",
        "['text/plain']",
    ]


def test_outside_notebooks_nothing_is_imported_or_registered():
    code = "import paretomerge, sys; print('IPython' in sys.modules, paretomerge.notebooks.register_displays())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_shell_without_displays_is_left_alone():
    assert notebooks.register_displays(object()) is False


@pytest.mark.parametrize(("home", "function"), notebooks.DISPLAYS.items())
def test_every_display_exists(home, function):
    module, name = home
    assert getattr(import_module(module), name).__name__ == name
    assert callable(getattr(import_module("paretomerge.reports.displays"), function))
