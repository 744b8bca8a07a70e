"""What the pages say of scale is what committed results say, and predictions are as good as promised."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from benchmarks.scale import paper, plan, simulation

from benchmarks import readme

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "module"), [("plan", plan), ("paper", paper), ("simulation", simulation)])
def test_the_page_shows_committed_results(name: str, module: object) -> None:
    """Tables are generated, never typed."""
    table = module.table(readme.stored(f"scale/{name}"))  # type: ignore[attr-defined]
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"<!-- scale {name}: generated -->\n{table}\n<!-- scale {name}: end -->" in page


def test_times_are_within_thirty_per_cent() -> None:
    """Nine tenths of the stages that take longer than first uses do."""
    rows = [row for row in plan.rows_of(readme.stored("scale/plan")) if row["measured"] >= plan.LONG]
    assert len(rows) >= 8
    assert sum(map(plan.is_near, rows)) >= 0.9 * len(rows)


def test_costs_that_the_page_quotes_are_those_of_the_code() -> None:
    """Seconds of the driver."""
    from paretomerge.planning.costs import PROPOSAL, PROPOSAL_GROWTH

    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert f"{PROPOSAL} s and {1e3 * PROPOSAL_GROWTH:g} ms more" in page
    assert re.search(rf"propose={PROPOSAL}, growth={PROPOSAL_GROWTH}\b", page)


def test_a_project_has_the_parameters_of_its_problem(tmp_path: Path) -> None:
    """What is planned is what is run."""
    from benchmarks.scale.projects import Shape, make_project

    from paretomerge.stages import open_study

    shape = Shape(16, 2, 4, vocabulary=20, causal=True, tasks=2)
    study = open_study(make_project(tmp_path / "project", shape))
    assert study.problem is not None
    state = study.problem.build().state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        name: study.base.spec(name).shape for name in study.base
    }
    assert json.loads((tmp_path / "project" / "shape.json").read_text())["classes"] == 20
