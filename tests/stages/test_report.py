from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tiny import recipe_of, write_recipe

from paretomerge.choices import Knee
from paretomerge.diagnoses import Diagnosis
from paretomerge.errors import MissingExtraError
from paretomerge.recipes import digest_recipe
from paretomerge.reports import ReportData
from paretomerge.reports.grid import DIVISIONS
from paretomerge.stages import (
    choose_point,
    estimate_run_front,
    front_of,
    open_study,
    report_run,
    run_ledger,
    verify_run,
)
from paretomerge.stages import report as stage
from paretomerge.stages.free_diagnoses import keep_diagnoses
from paretomerge.stages.report import draw_run
from paretomerge.types import Front


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


def test_the_page_has_the_choice_with_its_rule_the_diagnoses_and_the_ledger_with_the_grid(
    own: Path, written: list[ReportData]
) -> None:
    study = open_study(own / "recipe.yaml")
    choice = choose_point(study, Knee())
    found = [
        Diagnosis("power", "note", "30 examples tell little", "score on more"),
        Diagnosis("conflict", "warning", "sums and signs conflict", "verify"),
    ]
    keep_diagnoses(study, found)
    page = report_run(study).page.read_text(encoding="utf-8")
    data = written[-1]
    assert data.choice_rule == choice.rule
    assert data.run == str(study.folder.path)
    assert data.uncertainty is not None
    assert [each.severity for each in data.diagnoses] == ["warning", "note"]
    assert '<a href="#diagnoses">1 diagnosis warns</a>' in page
    assert list(data.ledger) == [*run_ledger(study).rows()]
    assert "joint grid of 66, estimated" in page
    assert run_ledger(study).summary in data.ledger_notes
    assert "sums and signs conflict" in page.lower()


def test_a_choice_on_the_joint_front_is_shown_with_it_while_it_is_current(own: Path, written: list[ReportData]) -> None:
    study = open_study(own / "recipe.yaml")
    front = front_of(study)
    joint = Front(
        front.tasks,
        front.weights[:1] * 0.5 + front.weights[-1:] * 0.5,
        front.values[:1],
        front.stdev[:1],
        front.objectives,
        front.reference,
        ("predicted",),
    )
    with study.folder.open_journal() as journal:
        journal.note("joint_front", {"recipe": digest_recipe(study.recipe), **joint.as_dict()})
    choice = choose_point(study, Knee(), of="joint")
    report_run(study)
    assert written[-1].joint_front is not None
    assert written[-1].choice == choice.point
    with study.folder.open_journal() as journal:
        journal.note("joint_front", {"recipe": "another", **joint.as_dict()})
    report_run(study)
    assert written[-1].joint_front is None
    assert written[-1].choice is None


def test_the_picture_alone_can_be_drawn_again(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study(own / "recipe.yaml")
    path = draw_run(study)
    assert path == study.folder.path / "front.png"
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG")
    choose_point(study, Knee())
    assert draw_run(study) == path
    assert path.read_bytes() != before

    def missing(*_: object) -> Path:
        raise MissingExtraError.of("matplotlib", "report")

    monkeypatch.setattr(stage, "draw_front", missing)
    assert draw_run(study) is None


def test_a_front_of_one_objective_has_no_picture(own: Path) -> None:
    write_recipe(own, recipe_of(front={"evaluations": 4, "points": 5, "objectives": ["loss[sums]"]}))
    assert draw_run(open_study(own / "recipe.yaml")) is None


def test_the_surrogates_grid_is_kept_with_the_front_and_shown_while_it_is_current(
    own: Path, written: list[ReportData]
) -> None:
    study = open_study(own / "recipe.yaml")
    found = estimate_run_front(study)
    report_run(study)
    grid = written[-1].landscape
    assert grid is not None
    assert found.surrogate is not None
    assert grid.divisions == DIVISIONS[len(study.tasks)]
    np.testing.assert_allclose(grid.values, found.surrogate.predict(grid.weights)[0], rtol=1e-12)
    assert grid.level == study.recipe.front.interval
    assert ((grid.lower <= grid.upper) & (grid.upper > -np.inf)).all()
    path = study.folder.recipe
    path.write_text(path.read_text().replace("points: 15", "points: 12"))
    with study.folder.open_journal() as journal:
        stored = journal.fact("landscape")
    changed = open_study(study.folder.path)
    front_of(changed)  # writes its own
    with changed.folder.open_journal() as journal:
        journal.note("landscape", stored)
    report_run(changed)
    assert written[-1].landscape is None


def test_a_front_over_coefficients_has_no_grid(own: Path, written: list[ReportData]) -> None:
    recipe = recipe_of(
        front={"evaluations": 4, "points": 6, "domain": "coefficients"}, rule={"name": "task_arithmetic"}
    )
    write_recipe(own, recipe)
    report_run(open_study(own / "recipe.yaml"))
    assert written[-1].landscape is None
