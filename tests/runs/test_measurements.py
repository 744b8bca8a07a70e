from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paretomerge.evaluation import Part
from paretomerge.runs import Journal, recall_prefix, recall_tasks, remember_tasks
from paretomerge.types import Ledger

ORDER = Part(0, 10, 10, seed=3)
SCORES = np.random.default_rng(0).normal(size=10)
"""In the evaluation set's own order."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def _part(start: int, stop: int, seed: int = 3) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Part]]:
    part = Part(start, stop, 10, seed)
    return {"a": {"loss": SCORES[part.examples]}}, {"a": part}


def test_tasks_come_back_bit_by_bit_with_all_their_metrics(journal: Journal) -> None:
    measured = {"a": {"loss": SCORES, "accuracy": SCORES > 0}, "b": {"": SCORES[:4]}}
    remember_tasks(journal, "m", measured, {"stage": "front"}, charge=("front", Ledger(evaluations=1, seconds=0.5)))
    found = recall_tasks(journal, "m", ["b", "a", "c"])
    assert list(found) == ["b", "a"]
    assert list(found["a"]) == ["loss", "accuracy"]
    assert found["a"]["loss"].tobytes() == SCORES.tobytes()
    assert found["a"]["accuracy"].tolist() == (SCORES > 0).astype(float).tolist()
    assert recall_tasks(journal, "another", ["a"]) == {}
    assert journal.count() == 1
    assert journal.ledger() == {"front": Ledger(evaluations=1, seconds=0.5)}


def test_tasks_of_a_model_may_be_measured_one_after_the_other(journal: Journal) -> None:
    remember_tasks(journal, "m", {"a": {"loss": SCORES}}, {})
    remember_tasks(journal, "m", {"b": {"loss": -SCORES}}, {})
    assert set(recall_tasks(journal, "m", ["a", "b"])) == {"a", "b"}
    assert journal.count() == 1


def test_parts_add_up_to_a_prefix_and_the_last_one_to_the_whole_task(journal: Journal) -> None:
    assert recall_prefix(journal, "m", "a", ORDER) is None
    for start, stop in ((0, 2), (2, 5)):
        remember_tasks(journal, "m", _part(start, stop)[0], {}, _part(start, stop)[1])
    found = recall_prefix(journal, "m", "a", ORDER)
    assert found is not None
    assert found[0] == Part(0, 5, 10, 3)
    assert found[1]["loss"].tolist() == SCORES[ORDER.examples[:5]].tolist()
    assert recall_tasks(journal, "m", ["a"]) == {}
    assert journal.count() == 0
    remember_tasks(journal, "m", _part(5, 10)[0], {}, _part(5, 10)[1])
    assert recall_tasks(journal, "m", ["a"])["a"]["loss"].tolist() == SCORES.tolist()
    assert journal.count() == 1


def test_a_whole_task_is_any_part_of_itself(journal: Journal) -> None:
    remember_tasks(journal, "m", {"a": {"loss": SCORES}}, {})
    found = recall_prefix(journal, "m", "a", Part(0, 10, 10, seed=8))
    assert found is not None
    assert found[0].stop == 10
    assert found[1]["loss"].tolist() == SCORES[Part(0, 10, 10, seed=8).examples].tolist()


def test_a_part_of_another_order_is_no_part_of_this_one(journal: Journal) -> None:
    remember_tasks(journal, "m", _part(0, 6, seed=4)[0], {}, _part(0, 6, seed=4)[1])
    assert recall_prefix(journal, "m", "a", ORDER) is None
    remember_tasks(journal, "m", *_with_about(_part(0, 10)))
    assert recall_tasks(journal, "m", ["a"])["a"]["loss"].tolist() == SCORES.tolist()


def test_a_last_part_without_the_first_ones_completes_nothing(journal: Journal) -> None:
    remember_tasks(journal, "m", *_with_about(_part(5, 10)))
    assert recall_tasks(journal, "m", ["a"]) == {}
    assert recall_prefix(journal, "m", "a", ORDER) is None


def test_a_gap_between_the_parts_is_not_bridged(journal: Journal) -> None:
    remember_tasks(journal, "m", *_with_about(_part(0, 3)))
    remember_tasks(journal, "m", *_with_about(_part(5, 10)))
    assert recall_tasks(journal, "m", ["a"]) == {}
    found = recall_prefix(journal, "m", "a", ORDER)
    assert found is not None
    assert found[0].stop == 3
    remember_tasks(journal, "m", *_with_about(_part(3, 10)))
    assert recall_tasks(journal, "m", ["a"])["a"]["loss"].tolist() == SCORES.tolist()


def _with_about(pair: tuple[dict, dict]) -> tuple[dict, dict, dict]:
    return pair[0], {}, pair[1]
