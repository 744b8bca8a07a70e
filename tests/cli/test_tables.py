from __future__ import annotations

import io

import pytest
from rich.console import Console

from paretomerge.cli.tables import points_table
from paretomerge.types import FrontPoint


def _shown(tasks: int, width: int, name: str = "task") -> str:
    names = [f"{name}{t}" for t in range(tasks)]
    point = FrontPoint(
        17,
        dict.fromkeys(names, 1 / tasks),
        {f"loss[{task}]": 1234.5678 if t == 0 else 0.5 for t, task in enumerate(names)},
        {f"loss[{task}]": 0.125 for task in names},
        "predicted",
    )
    console = Console(file=io.StringIO(), width=width)
    console.print(points_table([point, point], "front [red]"))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 5])
def test_no_number_is_cut_or_broken(tasks: int, width: int) -> None:
    shown = _shown(tasks, width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    words = shown.split()
    assert words.count("±0.24") == 2 * tasks
    assert words.count("1235") == 2
    assert words.count("0.5000") == 2 * (tasks - 1)
    assert words.count("17") == 2
    assert ("1235 ±0.24" in shown) == (tasks <= 3)


def test_titles_and_names_are_no_markup() -> None:
    shown = _shown(2, 80, name="[b]t")
    assert "front [red], values ± 95 %" in shown
    assert "[b]t0" in shown
    assert "loss[[b]t1]" in shown


def test_long_names_wrap_and_leave_the_numbers_whole() -> None:
    shown = _shown(3, 80, name="summarisation_of_medical_reports_")
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("0.5000 ±0.24") == 4
