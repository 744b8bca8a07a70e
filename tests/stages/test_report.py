from __future__ import annotations

from pathlib import Path

import pytest

from paretomerge.choices import Knee
from paretomerge.reports import ReportData
from paretomerge.stages import choose_point, open_study, report_run, verify_run
from paretomerge.stages import report as stage


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[ReportData]:
    """What the report was written from."""
    seen: list[ReportData] = []
    real = stage.write_report

    def write(data: ReportData, directory: Path) -> object:
        seen.append(data)
        return real(data, directory)

    monkeypatch.setattr(stage, "write_report", write)
    return seen


def test_a_report_before_anything_else_estimates_the_front(own: Path, written: list[ReportData]) -> None:
    paths = report_run(open_study(own / "recipe.yaml"))
    assert paths.page == own / "recipe-run" / "report.html"
    assert written[0].choice is None
    assert set(written[0].scores.origin) == {"predicted", "merged"}
    assert "damping" in written[0].notes


def test_choice_and_verification_join_the_report_while_they_are_current(own: Path, written: list[ReportData]) -> None:
    study = open_study(own / "recipe.yaml")
    choice = choose_point(study, Knee())
    verify_run(study, 2)
    report_run(study)
    assert written[-1].choice == choice.point
    assert written[-1].scores.origin.count("trained") == 2
    assert written[-1].ledger["verify"]["trainings"] == 2
    assert [objective.metric for objective in written[-1].scores.objectives] == ["loss"] * 3
    path = study.folder.recipe
    path.write_text(path.read_text().replace("points: 15", "points: 12"))
    report_run(open_study(study.folder.path))
    assert written[-1].choice is None
    assert written[-1].scores.origin.count("trained") == 0
