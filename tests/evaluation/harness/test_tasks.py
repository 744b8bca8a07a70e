from __future__ import annotations

from pathlib import Path

import pytest
from tests.evaluation.harness.local_tasks import CHOICES, write_tasks
from tests.problems.tiny_models import write_jsonl

from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation import HarnessSettings, HarnessTask, harness_digest, harness_objectives
from paretomerge.types import Objective


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("lm_eval") / "tasks")


@pytest.fixture
def settings(tasks: Path) -> HarnessSettings:
    return HarnessSettings((str(tasks),))


def test_objectives_take_direction_and_bounds_from_lm_eval(settings: HarnessSettings) -> None:
    named = {"a": HarnessTask("tiny_choices", metric="acc_norm"), "b": HarnessTask("tiny_texts")}
    assert harness_objectives(named, settings) == (
        Objective("acc_norm[a]", "maximise", "", (0.0, 1.0), "a", "acc_norm"),
        Objective("word_perplexity[b]", "minimise", "", (1.0, None), "b", "word_perplexity"),
        Objective("bits_per_byte[b]", "minimise", "", (0.0, None), "b", "bits_per_byte"),
    )


def test_a_metric_after_one_of_several_filters_is_named_by_both(settings: HarnessSettings) -> None:
    (one,) = harness_objectives({"a": HarnessTask("tiny_answers", filter="first word")}, settings)
    assert (one.name, one.metric) == ("exact_match/first word[a]", "exact_match/first word")


def test_metrics_that_a_task_computes_itself_have_no_known_bounds(tmp_path: Path) -> None:
    own = CHOICES.replace("metric: acc,", "metric: exact_match,").replace("task: tiny", "task: own")
    write_tasks(tmp_path)
    (tmp_path / "own.yaml").write_text(own + "process_results: !function scoring.score\n", encoding="utf-8")
    (tmp_path / "scoring.py").write_text("def score(doc, results):\n    return {'exact_match': 87.0}\n")
    (first, _) = harness_objectives({"a": HarnessTask("own_choices")}, HarnessSettings((str(tmp_path),)))
    assert first.bounds == (None, None)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (HarnessTask("tiny_choice"), r"knows no task 'tiny_choice' \(did you mean 'tiny_choices'\?\).*among lm-eval's"),
        (HarnessTask("tiny_group"), "'tiny_group' is a group of lm-eval tasks.*name one of its tasks"),
        (
            HarnessTask("tiny_choices", metric="acc_nrm"),
            r"no metric 'acc_nrm' \(did you mean 'acc_norm'\?\): it has acc",
        ),
        (HarnessTask("tiny_answers", filter="first"), r"no filter 'first'.*: it has whole, first word"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(settings: HarnessSettings, task: HarnessTask, message: str) -> None:
    with pytest.raises(DataError, match=message):
        harness_objectives({"a": task}, settings)


def test_a_folder_of_tasks_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="include: there is no folder /nowhere"):
        harness_objectives({"a": HarnessTask("tiny_choices")}, HarnessSettings(("/nowhere",)))


def test_data_that_would_have_to_be_downloaded_are_refused_with_a_remedy(tmp_path: Path) -> None:
    text = CHOICES.replace("dataset_path: json", "dataset_path: someone/something").replace(
        "dataset_kwargs: {data_files: {test: choices.jsonl, train: shots.jsonl}}\n", ""
    )
    (tmp_path / "far.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"'tiny_choices' are not on this machine .*network: true"):
        harness_objectives({"a": HarnessTask("tiny_choices")}, HarnessSettings((str(tmp_path),)))


def test_a_task_that_lm_eval_cannot_read_is_named(tmp_path: Path) -> None:
    write_tasks(tmp_path)
    (tmp_path / "choices.yaml").write_text(CHOICES.replace("multiple_choice", "multiple_chioce"), encoding="utf-8")
    with pytest.raises(EvaluationError, match=r"cannot open the task 'tiny_choices': ValueError.*multiple_chioce"):
        harness_objectives({"a": HarnessTask("tiny_choices")}, HarnessSettings((str(tmp_path),)))


def test_the_digest_follows_files_and_settings_and_not_where_they_are_or_what_is_picked(tmp_path: Path) -> None:
    one, other = write_tasks(tmp_path / "one"), write_tasks(tmp_path / "other")
    named = {"a": HarnessTask("tiny_choices")}

    def digest(folder: Path, tasks: dict[str, HarnessTask] = named, **changes: int) -> str:
        return harness_digest(tasks, HarnessSettings((str(folder),), **changes))  # type: ignore[arg-type]

    first = digest(one)
    assert first == digest(other) == digest(one, {"a": HarnessTask("tiny_choices", metric="acc_norm")})
    assert first != digest(one, {"a": HarnessTask("tiny_choices", limit=3)})
    assert first != digest(one, seed=3)
    write_jsonl(one / "choices.jsonl", [{"text": "good", "label": 0, "answer": "is"}] * 3)
    assert first != digest(one)
    (other / "choices.yaml").write_text(CHOICES.replace("}} ?", "}} !"), encoding="utf-8")
    from paretomerge.evaluation.harness import tasks as module

    module._manager.cache_clear()
    assert first != digest(other)
