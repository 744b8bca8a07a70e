from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from paretomerge.choices import Knee, choose
from paretomerge.demo.methods import HEADLINE, demo_methods
from paretomerge.demo.show import show_demo
from paretomerge.demo.study import DemoResult
from paretomerge.reports import ReportPaths
from paretomerge.types import Front, Ledger, Objective


def _result() -> DemoResult:
    tasks = ("upright", "rotated", "mirrored")
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]])
    objectives = tuple(Objective(f"loss[{task}]", task=task, metric="loss") for task in tasks)
    front = Front(tasks, weights, 1 - weights**2, np.zeros((4, 3)), objectives, np.full(3, 2.0), ("predicted",) * 4)
    scores = {"hypervolume_ratio": 0.8765, "igd_plus": 0.01234, "loss_error": 0.0432, "accuracy_error": 0.0321}
    rows = tuple(
        {"name": method.name, **scores, "rank_correlation": 0.9871, "seconds": 1234.5} for method in demo_methods()
    )
    noise = {**scores, "rank_correlation": None, "loss_error": 0.0054}
    ledger = {"joint grid": Ledger(13, 230_400, 0, 43.6)}
    paths = ReportPaths(page=Path("/somewhere/report.html"), figure=None)
    return DemoResult(
        0, rows, noise, ledger, front, choose(front, Knee()), Path("/m"), dict.fromkeys(tasks, 0.9), paths
    )


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_can_be_read(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    show_demo(_result(), console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    numbers = ["0.876", "0.0123", "0.0432", "1.00", "0.0321", "0.987", "1234.5"]
    rows = [line.split()[-7:] for line in shown.splitlines()]
    # Every method has its numbers on one line, whatever its name needs.
    assert rows.count(numbers) == len(demo_methods())
    assert "230,400" in shown
    assert f"{HEADLINE}: preview error 0.0432 nats, 1.00 x averaging's" in " ".join(shown.split())
    assert "8.0 x the noise" in " ".join(shown.split())
