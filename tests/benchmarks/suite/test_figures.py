"""Pictures are drawn where there is something to show."""

from __future__ import annotations

import pytest
from benchmarks.suite.figures import draw_figures
from benchmarks.suite.results import Result
from tests.benchmarks.suite.made_up import made_up


def test_three_pictures_of_made_up_results(tmp_path):
    pytest.importorskip("matplotlib")
    results = {name: Result(made_up(name)) for name in ("digits-conflict", "sentiment", "scale-24")}
    drawn = draw_figures(results, tmp_path)
    assert [path.name for path in drawn] == [
        "suite-overview.png",
        "suite-curvature-error.png",
        "suite-quality-per-cost.png",
    ]
    assert all(path.stat().st_size > 5000 for path in drawn)


def test_nothing_is_drawn_of_nothing(tmp_path):
    assert draw_figures({}, tmp_path) == []
    assert list(tmp_path.iterdir()) == []
