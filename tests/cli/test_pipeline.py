"""The verbs of a run, and the public functions they are shells of, on a real study."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.tiny import EVALUATIONS, TASKS, copy_folder, invoke, plain, read_params

from paretomerge.choices import ByWeights, Knee, Thresholds
from paretomerge.recipes import load_recipe
from paretomerge.runs import Journal, list_runs
from paretomerge.stages import (
    choose_point,
    estimate_run_front,
    export_point,
    fit_run,
    front_of,
    open_study,
    report_run,
    run,
    verify_run,
)
from paretomerge.stages.choose import resolve_names
from paretomerge.stages.exporting.export import measured_point


@dataclass(frozen=True)
class Twins:
    """The same study by the command line (answers by verb) and by the library."""

    folder: Path
    answers: dict[str, Any]
    library: Path

    @property
    def run(self) -> Path:
        return self.folder / "recipe-run"


@pytest.fixture(scope="module")
def twins(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    place = tmp_path_factory.mktemp("twins")
    folder = copy_folder(tiny, place / "cli")
    recipe, run_folder = folder / "recipe.yaml", folder / "recipe-run"
    answers = {
        "check": invoke("check", recipe, "--json").json,
        "fit": invoke("fit", recipe, "--json").json,
        "front": invoke("front", run_folder, "--json").json,
        "choose": invoke("choose", run_folder, "--knee", "--json").json,
        "export": invoke("export", run_folder, place / "merged", "--json").json,
        "verify": invoke("verify", run_folder, "--points", 2, "--json").json,
        "report": invoke("report", run_folder, "--json").json,
        "runs": invoke("runs", folder, "--json").json,
    }
    # The library sees the same checkpoints: their digests are part of every key.
    study = open_study(recipe, place / "library-run")
    fit_run(study)
    estimate_run_front(study)
    choose_point(study, Knee())
    export_point(study, "chosen", place / "library-merged")
    verify_run(study, 2)
    report_run(study)
    return Twins(folder, answers, place / "library-run")


def test_check_says_how_far_every_finetune_is(twins: Twins) -> None:
    answer = twins.answers["check"]
    assert answer["ok"] is True
    assert [task["task"] for task in answer["tasks"]] == list(TASKS)
    assert all(0 < task["relative_distance"] < 1 for task in answer["tasks"])


def test_fit_is_the_librarys_fit(twins: Twins) -> None:
    fitted = fit_run(open_study(twins.library))
    estimate = twins.answers["fit"]["estimate"]
    assert estimate["examples"] == dict.fromkeys(TASKS, 48)
    assert estimate["gradient_passes"] > 0
    assert twins.answers["fit"] == {
        "estimate": estimate,
        "run": str(twins.run),
        "family": "subspace",
        "damping": fitted.damping,
        "tasks": list(TASKS),
        "examples": dict.fromkeys(TASKS, 48),
    }
    assert fitted.damping in (0.01, 0.1)
    assert len(list((twins.run / "posteriors").iterdir())) == len(TASKS)


def test_front_is_the_librarys_front(twins: Twins) -> None:
    estimated = estimate_run_front(open_study(twins.library))
    answer = twins.answers["front"]
    assert answer["front"] == plain(estimated.front.as_dict())
    assert answer["scores"] == plain(replace(estimated.scores, shared=None).as_dict())
    assert answer["warnings"] == list(estimated.warnings)
    assert len(answer["scores"]["values"]) == EVALUATIONS
    assert set(answer["front"]["origin"]) == {"predicted"}
    assert set(answer["scores"]["origin"]) == {"merged"}


def test_choose_is_the_librarys_choice(twins: Twins) -> None:
    choice = choose_point(open_study(twins.library), Knee())
    assert twins.answers["choose"] == plain(asdict(choice))


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("--weights", "swaps=0.25,sums=0.5,signs=0.25"), ByWeights({"sums": 0.5, "signs": 0.25, "swaps": 0.25})),
        (("--at-least", "sums=1.3", "--best", "loss[signs]"), Thresholds({"loss[sums]": 1.3}, "loss[signs]")),
        (("--at-least", "sums=1.3", "--best", "signs"), Thresholds({"loss[sums]": 1.3}, "loss[signs]")),
    ],
)
def test_every_way_of_choosing_has_its_option(twins: Twins, options: tuple[str, ...], rule: Any) -> None:
    expected = choose_point(open_study(twins.library), rule)
    assert invoke("choose", twins.run, *options, "--json").json["point"] == vars(expected.point)
    assert front_of(open_study(twins.run))[expected.point.id].weights == expected.point.weights
    invoke("choose", twins.run, "--knee")
    choose_point(open_study(twins.library), Knee())


def test_export_is_the_librarys_export_and_a_checkpoint_of_the_chosen_point(twins: Twins) -> None:
    exported = Path(twins.answers["export"]["path"])
    ours, theirs = read_params(exported), read_params(exported.with_name("library-merged"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    weights = twins.answers["choose"]["point"]["weights"]
    [merged] = fit_run(open_study(twins.library)).models(np.array([[weights[task] for task in TASKS]]))
    assert all(torch.equal(ours[name], merged[name]) for name in merged)
    written = yaml.safe_load(Path(twins.answers["export"]["weights"]).read_text())
    assert any(isinstance(value, dict) and value.keys() == weights.keys() for value in [written, *written.values()])


def test_an_exported_point_is_scored_on_test_data(twins: Twins) -> None:
    study = open_study(twins.library)
    measured = measured_point(study, front_of(study)[0])
    assert measured.origin == "merged"
    names = [f"{metric}[{task}]" for metric in ("loss", "accuracy") for task in TASKS]
    assert list(measured.values) == names
    card = (Path(twins.answers["export"]["path"]) / "README.md").read_text()
    assert "accuracy[signs]" in card


def test_verify_is_the_librarys_verification(twins: Twins) -> None:
    answer = twins.answers["verify"]
    assert {**answer, "run": ""} == {"run": "", **plain(verify_run(open_study(twins.library), 2).as_dict())}
    assert set(answer["truths"]["origin"]) == {"trained"}
    assert set(answer["previews"]["origin"]) == {"merged"}
    assert answer["truths"]["weights"] == answer["previews"]["weights"]
    # The chosen point is verified first.
    assert answer["truths"]["weights"][0] == list(twins.answers["choose"]["point"]["weights"].values())
    assert set(answer["quality"]) == {"loss", "accuracy"}
    assert len(list((twins.run / "trained").iterdir())) == 2


def test_a_truth_is_better_in_its_own_weighted_loss_than_the_base(twins: Twins) -> None:
    truths = twins.answers["verify"]["truths"]
    study = open_study(twins.library)
    evaluate = study.evaluator("test")
    base = {name: study.base[name] for name in study.base}
    losses = np.array([float(evaluate(base, task)["loss"].mean()) for task in TASKS])
    for weights, values in zip(truths["weights"], truths["values"], strict=True):
        assert np.dot(weights, values[:3]) < np.dot(weights, losses)


def test_report_writes_a_page_that_knows_the_choice_and_the_truths(twins: Twins) -> None:
    page = Path(twins.answers["report"]["page"]).read_text(encoding="utf-8")
    assert Path(twins.answers["report"]["page"]).parent == twins.run
    for word in (*TASKS, "trained", "predicted", "damping"):
        assert word in page


def test_runs_lists_the_run_and_nothing_else(twins: Twins) -> None:
    [summary] = twins.answers["runs"]
    assert summary["path"] == str(twins.run)
    assert summary["trainings"] == 2
    assert summary["stages"] == ["fit", "damping", "front", "test", "verify"]
    assert len(list_runs(twins.folder)) == 1


def test_what_was_measured_is_never_measured_again(twins: Twins) -> None:
    def counts() -> tuple[int, dict[str, Any]]:
        with Journal(twins.run / "journal.sqlite") as journal:
            return journal.count(), journal.ledger()

    before = counts()
    posteriors = {path: path.stat().st_mtime_ns for path in (twins.run / "posteriors").iterdir()}
    for verb in (("fit",), ("front",), ("verify", "--points", 2)):
        stated = {"estimate": None} if verb == ("fit",) else {}  # there is nothing left to measure
        assert invoke(*verb[:1], twins.run, *verb[1:], "--json").json == twins.answers[verb[0]] | stated
    assert counts() == before
    assert posteriors == {path: path.stat().st_mtime_ns for path in (twins.run / "posteriors").iterdir()}


def test_the_recipe_itself_resumes_its_run(twins: Twins) -> None:
    assert invoke("front", twins.folder / "recipe.yaml", "--json").json == twins.answers["front"]


def test_run_is_the_whole_pipeline_in_one_call(twins: Twins, tmp_path: Path) -> None:
    estimated = run(twins.folder / "recipe.yaml", tmp_path / "run", choice=Knee(), verify=2)
    assert plain(estimated.front.as_dict()) == twins.answers["front"]["front"]
    with Journal(tmp_path / "run" / "journal.sqlite") as journal:
        assert journal.fact("choice")["point"] == twins.answers["choose"]["point"]["id"]
        assert journal.fact("verification")["truths"] == twins.answers["verify"]["truths"]
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_recipe_in_memory_is_as_good_as_a_file(twins: Twins, tmp_path: Path) -> None:
    estimated = run(load_recipe(twins.folder / "recipe.yaml"), tmp_path / "run")
    assert plain(estimated.front.as_dict()) == twins.answers["front"]["front"]


def test_names_of_tasks_stand_for_their_only_objective(twins: Twins) -> None:
    front = front_of(open_study(twins.run))
    assert resolve_names(front, {"sums": 0.5, "loss[signs]": 0.7}) == {"loss[sums]": 0.5, "loss[signs]": 0.7}


@pytest.mark.parametrize("columns", [80, 120])
def test_what_people_read_fits_their_terminal(twins: Twins, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("PARETOMERGE_PROGRESS", "off")  # a busy machine is no warning
    for arguments in (
        ("check", twins.folder / "recipe.yaml"),
        ("fit", twins.run),
        ("front", twins.run),
        ("choose", twins.run, "--knee"),
        ("diagnose", twins.run),
        ("verify", twins.run, "--points", "2"),
        ("ledger", twins.run),
        ("report", twins.run),
        ("runs", twins.folder),
    ):
        answer = invoke(*arguments)
        assert answer.code == 0
        assert all(line.startswith("warning: ") for line in answer.err.splitlines())
        shown = answer.out.replace(str(twins.folder), "x")
        assert "…" not in shown
        assert max(map(len, shown.splitlines())) <= columns


def test_every_verb_of_a_run_says_what_comes_next(twins: Twins) -> None:
    for arguments, following in (
        (("fit", twins.run), "front"),
        (("front", twins.run), "choose"),
        (("choose", twins.run, "--knee"), "export"),
        (("verify", twins.run, "--points", "2"), "choose"),
        (("ledger", twins.run), "report"),
    ):
        assert f"next: paretomerge {following} {twins.run}" in invoke(*arguments).out
