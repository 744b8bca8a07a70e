from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretomerge.distributed import Outcome, Serial
from paretomerge.errors import DataError, EvaluationError, InputError, MissingExtraError, StorageError
from paretomerge.evaluation import Part
from paretomerge.runs import Claims, Journal, evaluation_key
from paretomerge.stages.scoring.evaluations import Evaluations, Job, Request, Scored

TASKS = ("a", "b")


class _Bench:
    """Models are the numbers at their points; what breaks them is written down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[tuple[float, tuple[str, ...]]] = []
        self.examples: list[dict[str, list[int]]] = []
        self.broken: dict[float, list[Exception]] = {}
        self.messages: list[str] = []

    def work(self, job: Job) -> Mapping[str, Mapping[str, np.ndarray]]:
        value = float(job.point[0])
        self.calls.append((value, job.tasks))
        self.examples.append({task: rows.tolist() for task, rows in job.examples.items()})
        if self.broken.get(value):
            raise self.broken[value].pop()
        every = value + np.arange(10.0)
        return {task: {"loss": every[job.examples.get(task, slice(None))]} for task in job.tasks}

    def open(self, journal: Journal, retries: int = 1, retry_known: bool = False) -> Evaluations:
        workers = Serial().open(lambda: self.work)
        return Evaluations(journal, "front", workers, retries, self.messages.append, retry_known)

    def run(self, values: list[float], **settings: Any) -> dict[float, Scored]:
        with Journal(self.path) as journal, self.open(journal, **settings) as evaluations:
            for value in values:
                evaluations.submit(_request(value))
            return {float(scored.request.point[0]): scored for scored in _rest(evaluations)}

    def journal(self, read: Callable[[Journal], Any]) -> Any:
        with Journal(self.path) as journal:
            return read(journal)


def _request(value: float, tasks: tuple[str, ...] = TASKS, **settings: Any) -> Request:
    return Request(evaluation_key(value=value), np.array([value]), tasks, **settings)


def _rest(evaluations: Evaluations) -> Iterator[Scored]:
    while (scored := evaluations.next()) is not None:
        yield scored


@pytest.fixture
def bench(tmp_path: Path) -> _Bench:
    return _Bench(tmp_path / "journal.sqlite")


def test_what_is_stored_is_recalled_and_charged_once(bench: _Bench) -> None:
    first = bench.run([1.0, 2.0])
    assert [scored.recalled for scored in first.values()] == [False, False]
    again = bench.run([2.0, 3.0, 1.0])
    assert [value for value, _ in bench.calls] == [1.0, 2.0, 3.0]
    assert {value: scored.recalled for value, scored in again.items()} == {1.0: True, 2.0: True, 3.0: False}
    assert again[2.0].measured is not None
    assert again[2.0].measured["b"]["loss"].tolist() == (2.0 + np.arange(10.0)).tolist()
    assert bench.journal(lambda journal: journal.ledger()["front"].evaluations) == 3
    assert bench.journal(lambda journal: journal.count()) == 3
    assert bench.messages == ["evaluation 1 of 2", "evaluation 2 of 2", "evaluation 1 of 1"]


def test_more_may_be_asked_for_while_others_are_not_done(bench: _Bench) -> None:
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        assert evaluations.next() is None
        assert (evaluations.pending, evaluations.size) == (0, 1)
        assert evaluations.submit(_request(1.0))
        assert evaluations.submit(_request(2.0))
        first = evaluations.next()
        assert first is not None
        assert first.request.point.tolist() == [1.0]
        assert evaluations.pending == 1
        evaluations.submit(_request(3.0))
        assert not evaluations.submit(_request(1.0))
        # What is known comes first.
        assert [float(scored.request.point[0]) for scored in _rest(evaluations)] == [1.0, 2.0, 3.0]


def test_only_the_missing_tasks_are_measured_and_they_cost_their_share(bench: _Bench) -> None:
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        evaluations.submit(_request(1.0, ("a",), cost=0.5))
        assert len(list(_rest(evaluations))) == 1
        assert journal.ledger()["front"].evaluations == 0
        evaluations.submit(_request(1.0))
        [scored] = _rest(evaluations)
        assert set(scored.measured or ()) == {"a", "b"}
        assert bench.calls == [(1.0, ("a",)), (1.0, ("b",))]
        assert journal.ledger()["front"].evaluations == 1


def test_parts_of_the_examples_add_up_to_an_evaluation(bench: _Bench) -> None:
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        for stop in (2, 5, 5, 10):
            evaluations.submit(_request(1.0, parts={task: Part(0, stop, 10, 1) for task in TASKS}))
            [scored] = _rest(evaluations)
            assert scored.measured is not None
            assert scored.measured["a"]["loss"].tolist() == (1.0 + Part(0, stop, 10, 1).examples).tolist()
            assert journal.ledger()["front"].evaluations == (stop == 10)
        order = Part(0, 10, 10, 1).examples.tolist()
        assert [found["b"] for found in bench.examples] == [order[:2], order[2:5], order[5:]]
        assert not evaluations.submit(_request(1.0))
        [whole] = _rest(evaluations)
        assert whole.measured is not None
        assert whole.measured["a"]["loss"].tolist() == (1.0 + np.arange(10.0)).tolist()


def test_a_failure_is_tried_once_more(bench: _Bench) -> None:
    bench.broken[2.0] = [OSError("the GPU fell off the bus")]
    found = bench.run([1.0, 2.0, 3.0])
    assert [value for value, _ in bench.calls] == [1.0, 2.0, 2.0, 3.0]
    assert all(scored.error is None for scored in found.values())
    [failure] = bench.journal(lambda journal: journal.failures())
    assert failure.reason == "a model could not be made or scored: OSError: the GPU fell off the bus"
    assert "evaluation failed, once more: a model could not be made" in bench.messages[2]


def test_what_fails_twice_is_skipped_now_and_by_a_resumed_run(bench: _Bench) -> None:
    bench.broken[2.0] = [EvaluationError("NaN")] * 9
    found = bench.run([1.0, 2.0, 3.0])
    assert [value for value, _ in bench.calls] == [1.0, 2.0, 2.0, 3.0]
    assert isinstance(found[2.0].error, EvaluationError)
    assert found[2.0].measured is None
    assert "evaluation skipped: NaN" in bench.messages
    again = bench.run([1.0, 2.0, 3.0])
    assert len(bench.calls) == 4
    assert str(again[2.0].error) == "skipped, because it failed before: NaN"
    assert bench.messages[-1] == "evaluation skipped, because it failed before: NaN"
    bench.journal(lambda journal: journal.forgive([evaluation_key(value=2.0)]))
    bench.broken.clear()
    assert bench.run([2.0])[2.0].measured is not None


def test_what_failed_before_is_tried_again_where_that_is_asked_for(bench: _Bench) -> None:
    bench.broken[2.0] = [EvaluationError("NaN")] * 4
    bench.run([1.0, 2.0, 3.0])
    assert bench.run([1.0, 2.0], retry_known=True)[2.0].measured is None
    assert [value for value, _ in bench.calls].count(2.0) == 4
    assert bench.run([2.0])[2.0].measured is None
    assert bench.run([2.0], retry_known=True)[2.0].measured is not None


def test_failures_cost_time_but_no_evaluation(bench: _Bench) -> None:
    bench.broken[2.0] = [EvaluationError("NaN")] * 9
    bench.run([1.0, 2.0, 3.0])
    assert bench.journal(lambda journal: journal.ledger()["front"].evaluations) == 2


def test_a_run_that_was_killed_between_two_attempts_has_one_left(bench: _Bench) -> None:
    bench.run([1.0])
    bench.journal(lambda journal: journal.fail(evaluation_key(value=2.0), "front", "NaN"))
    bench.broken[2.0] = [EvaluationError("NaN")] * 9
    bench.run([1.0, 2.0, 3.0])
    assert [value for value, _ in bench.calls].count(2.0) == 1


def test_an_impossible_point_is_skipped_without_another_try(bench: _Bench) -> None:
    bench.broken[2.0] = [DataError("no such merge")] * 9
    for _ in range(2):
        found = bench.run([1.0, 2.0, 3.0])
        assert isinstance(found[2.0].error, EvaluationError | DataError)
    assert [value for value, _ in bench.calls] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("error", "attempts"), [(InputError("the evaluation set is empty"), 1), (EvaluationError("it is a matrix"), 2)]
)
def test_where_nothing_works_the_first_failure_is_the_end(bench: _Bench, error: Exception, attempts: int) -> None:
    bench.broken[1.0] = [error] * 9
    with pytest.raises(type(error), match=f"^{error}$"):
        bench.run([1.0, 2.0, 3.0, 4.0, 5.0])
    assert len(bench.calls) == attempts
    bench.broken.clear()
    assert len(bench.run([1.0, 2.0])) == 2


def test_a_missing_package_is_the_end_at_once(bench: _Bench) -> None:
    bench.broken[4.0] = [MissingExtraError("install it"), MissingExtraError("install it")]
    with pytest.raises(MissingExtraError):
        bench.run([1.0, 2.0, 3.0, 4.0, 5.0])


def test_more_failures_than_half_of_a_batch_stop_the_run_and_are_tried_again_later(bench: _Bench) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    for value in values[2:]:
        bench.broken[value] = [RuntimeError("gone")] * 9
    with pytest.raises(EvaluationError, match=r"4 of 6 evaluations failed.*same command continues.*RuntimeError: gone"):
        bench.run(values)
    assert len(bench.calls) == 2 + 2 * 4
    bench.broken.clear()
    assert all(scored.measured is not None for scored in bench.run(values).values())
    assert len(bench.calls) == 10 + 5


def test_a_run_that_stops_tries_everything_again_that_failed_in_this_sitting(bench: _Bench) -> None:
    """The cause of the last failures may have been that of the first one too."""
    bench.run([0.0])
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    for value in values:
        bench.broken[value] = [RuntimeError("gone")] * 9
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        for value in (0.0, 10.0, 1.0, 11.0, 12.0, 13.0):
            evaluations.submit(_request(value))
        assert sum(scored.measured is None for scored in _rest(evaluations)) == 1
        for value in values[1:]:
            evaluations.submit(_request(value))
        with pytest.raises(EvaluationError, match="3 of 4 evaluations failed"):
            list(_rest(evaluations))
    bench.broken.clear()
    assert all(scored.measured is not None for scored in bench.run(values).values())


def test_half_of_a_batch_may_fail(bench: _Bench) -> None:
    for value in (2.0, 3.0, 4.0):
        bench.broken[value] = [RuntimeError("gone")] * 9
    found = bench.run([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert sum(scored.measured is None for scored in found.values()) == 3


def test_points_asked_for_one_by_one_stop_after_two_failures_among_three(bench: _Bench) -> None:
    for value in (2.0, 4.0, 5.0):
        bench.broken[value] = [RuntimeError("gone")] * 9
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        for value in (0.0, 1.0, 2.0, 3.0, 6.0, 4.0):
            evaluations.submit(_request(value))
            list(_rest(evaluations))
        evaluations.submit(_request(5.0))
        with pytest.raises(EvaluationError, match="2 of 3 evaluations failed"):
            evaluations.next()


def test_a_batch_is_judged_by_itself_however_much_succeeded_before(bench: _Bench) -> None:
    bench.run([float(value) for value in range(12)])
    for value in range(20, 26):
        bench.broken[float(value)] = [RuntimeError("gone")] * 9
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        for value in range(14):
            evaluations.submit(_request(float(value)))
        list(_rest(evaluations))
        for value in range(20, 26):
            evaluations.submit(_request(float(value)))
        with pytest.raises(EvaluationError, match="4 of 6 evaluations failed"):
            list(_rest(evaluations))


def test_an_interrupt_leaves_no_claim_and_no_failure(bench: _Bench) -> None:
    bench.broken[2.0] = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        bench.run([1.0, 2.0])
    assert bench.journal(lambda journal: journal.failures()) == []
    with Journal(bench.path) as journal:
        claims = Claims(journal)
        assert claims.take(evaluation_key(value=2.0))
        claims.close()
    assert len(bench.run([1.0, 2.0])) == 2


def test_a_disk_that_refuses_is_no_failure_of_the_evaluation(bench: _Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def store(self: Journal, *arguments: Any) -> None:
        raise StorageError("disk full")

    monkeypatch.setattr(Journal, "store", store)
    with pytest.raises(StorageError, match="disk full"):
        bench.run([1.0])
    assert bench.journal(lambda journal: journal.failures()) == []


def test_what_another_process_measures_is_waited_for(bench: _Bench) -> None:
    with Journal(bench.path) as journal, Journal(bench.path) as theirs:
        claims, polls = Claims(theirs), 0
        assert claims.take(evaluation_key(value=1.0))
        with bench.open(journal) as evaluations:
            other = _Bench(bench.path)

            def sleep(seconds: float) -> None:
                nonlocal polls
                polls += 1
                if polls == 3:
                    claims.close()
                    other.run([1.0])

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("paretomerge.stages.scoring.evaluations.time.sleep", sleep)
                evaluations.submit(_request(1.0))
                evaluations.submit(_request(2.0))
                found = list(_rest(evaluations))
    assert [float(scored.request.point[0]) for scored in found] == [2.0, 1.0]
    assert found[1].recalled
    assert [value for value, _ in bench.calls] == [2.0]
    assert polls == 3


def test_what_another_process_gave_up_is_not_tried_here_either(bench: _Bench) -> None:
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        evaluations.submit(_request(1.0))
        for _ in range(2):
            journal.fail(evaluation_key(value=1.0), "front", "NaN")
        [scored] = _rest(evaluations)
    assert scored.error is not None
    assert bench.calls == []


class _TwoWorkers:
    """Two workers whose items are done in reverse order."""

    size = 2

    def __init__(self, work: Callable[[Job], Any]) -> None:
        self.work, self.items, self.closed = work, [], False  # type: ignore[var-annotated]

    @property
    def free(self) -> int:
        return 2 - len(self.items)

    def start(self, item: Job) -> None:
        assert self.free
        self.items.append(item)

    def next(self, seconds: float | None = None) -> Outcome | None:
        item = self.items.pop()
        try:
            return Outcome(item, self.work(item))
        except Exception as error:
            return Outcome(item, None, error)

    def close(self) -> None:
        self.closed = True


def test_results_come_as_they_are_ready_and_workers_are_closed(bench: _Bench) -> None:
    workers = _TwoWorkers(bench.work)
    with Journal(bench.path) as journal, Evaluations(journal, "front", workers) as evaluations:
        for value in (1.0, 2.0, 3.0):
            evaluations.submit(_request(value))
        assert [float(scored.request.point[0]) for scored in _rest(evaluations)] == [2.0, 3.0, 1.0]
    assert workers.closed


def test_with_several_workers_one_failure_is_not_yet_proof_that_nothing_works(bench: _Bench) -> None:
    bench.broken[2.0] = [RuntimeError("gone")] * 9
    workers = _TwoWorkers(bench.work)
    with Journal(bench.path) as journal, Evaluations(journal, "front", workers) as evaluations:
        for value in (1.0, 2.0, 3.0):
            evaluations.submit(_request(value))
        assert {scored.measured is None for scored in _rest(evaluations)} == {True, False}


def _share(path: Path, log: Path, values: list[float]) -> None:
    def work(job: Job) -> Mapping[str, Mapping[str, np.ndarray]]:
        with log.open("a") as handle:
            handle.write(f"{job.point[0]}\n")
        time.sleep(0.02)
        return {task: {"loss": job.point + np.arange(3.0)} for task in job.tasks}

    with Journal(path) as journal, Evaluations(journal, "front", Serial().open(lambda: work)) as evaluations:
        for value in values:
            evaluations.submit(_request(value))
        assert all(scored.measured is not None for scored in _rest(evaluations))
        assert evaluations.pending == 0


def test_several_processes_share_a_journal_and_measure_everything_once(bench: _Bench, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log, values = tmp_path / "log", [float(value) for value in range(30)]
    # Two of them begin at the same end.
    orders = [values, values[::-1], values]
    processes = [context.Process(target=_share, args=(bench.path, log, order)) for order in orders]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(map(float, log.read_text().split())) == values
    assert bench.journal(lambda journal: (journal.count(), journal.ledger()["front"].evaluations)) == (30, 30)


def test_who_waits_is_told_how_many_come_at_most_without_those_that_are_recalled(bench: _Bench) -> None:
    bench.run([1.0, 2.0])
    bench.messages.clear()
    with Journal(bench.path) as journal, bench.open(journal) as evaluations:
        evaluations.expect(5)
        for value in (1.0, 2.0, 3.0):
            evaluations.submit(_request(value))
        list(_rest(evaluations))
        for value in (4.0, 5.0, 6.0, 7.0):
            evaluations.submit(_request(value))
        list(_rest(evaluations))
    assert bench.messages == [
        "evaluation 1 of at most 3",
        *(f"evaluation {number} of 5" for number in (2, 3, 4, 5)),
    ]
