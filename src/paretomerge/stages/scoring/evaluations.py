"""Evaluations in flight: submitted in any order, stored as they complete, measured once, never the end of a run.

    with Evaluations(journal, "front", executor.open(setup)) as evaluations:
        evaluations.submit(Request(key, point, tasks))
        while (scored := evaluations.next()) is not None:
            ...  # more may be submitted here, before the others are done

What the journal has is recalled. What another process is measuring is waited for. What fails is tried once more, and
then skipped with a reason that the journal keeps: a resumed run skips it too, and so asks for the same evaluations.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paretomerge.distributed import Outcome, Workers
from paretomerge.errors import EvaluationError, InputError, MissingExtraError, ParetomergeError
from paretomerge.evaluation import Metrics, Part
from paretomerge.runs import Claims, EnergyMeter, Journal, recall_prefix, recall_tasks, remember_tasks
from paretomerge.stages.logs import log
from paretomerge.types import Ledger

Progress = Callable[[str], None]

_POLL_SECONDS = 0.2
_SMALLEST_WINDOW = 3
"""Of so many evaluations, or a batch, more than half must fail before the run is stopped."""


def silent(message: str) -> None:
    """No progress shown."""


@dataclass(frozen=True, eq=False)
class Request:
    """One model to be scored.

    Args:
        key: what the model and its scores depend on, besides the task; see `runs.evaluation_key`.
        point: where the model is, `[D]`.
        tasks: the tasks it is scored on.
        parts: task → how far along a random order of its examples (`Part(0, stop, count, seed)`); all examples of the
            tasks that are not named.
        number: what its asker calls it.
        cost: what scoring all of it costs, in evaluations; parts cost their share.
        about: for people who read the journal.
    """

    key: str
    point: np.ndarray
    tasks: tuple[str, ...]
    parts: Mapping[str, Part] = field(default_factory=dict)
    number: int = 0
    cost: float = 1.0
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Job:
    """What is left to be measured of a request, as a worker gets it."""

    number: int
    point: np.ndarray
    tasks: tuple[str, ...]
    examples: Mapping[str, np.ndarray]


Work = Callable[[Job], Mapping[str, Metrics]]
"""What a worker does: makes the model at a job's point, and scores it."""


@dataclass(frozen=True, eq=False)
class Scored:
    """What became of a request: its scores, or the error for which it was skipped.

    Attributes:
        request: what was asked for.
        measured: task → metric → per-example scores; of a part in the random order of its examples.
        error: why there are none.
        recalled: whether nothing had to be measured for it in this sitting.
    """

    request: Request
    measured: Mapping[str, Metrics] | None
    error: ParetomergeError | None = None
    recalled: bool = False


class Evaluations:
    """Evaluations of one stage of a run.

    Args:
        journal: where they are kept.
        stage: the ledger's entry that is charged.
        workers: who measures; they are closed with this.
        retries: how often a failed evaluation is tried again.
        retry_known: try again what failed in an earlier sitting, instead of skipping it.
        progress: called with short messages.

    Raises:
        EvaluationError: nothing succeeds, or more than half of a batch failed.
        InputError: what was given cannot be evaluated at all.
        StorageError: the disk refused.
    """

    def __init__(
        self,
        journal: Journal,
        stage: str,
        workers: Workers[Job, Mapping[str, Metrics]],
        retries: int = 1,
        progress: Progress = silent,
        retry_known: bool = False,
    ) -> None:
        """Nothing is asked for yet."""
        self._journal, self._stage, self._workers = journal, stage, workers
        self._retries, self._progress, self._retry_known = retries, progress, retry_known
        self._claims = Claims(journal)
        self._ready: deque[Scored] = deque()
        self._waiting: deque[Request] = deque()
        self._elsewhere: deque[Request] = deque()
        self._running: dict[int, tuple[Request, Job, Mapping[str, Part]]] = {}
        self._asked = self._begun = self._expected = 0
        self._outcomes: deque[bool] = deque(maxlen=_SMALLEST_WINDOW)
        self._failed: list[str] = []
        self._succeeded = False
        self._owed = 0.0
        self._charged_at = time.perf_counter()
        self._meter = EnergyMeter()

    def __enter__(self) -> Evaluations:
        """For `with`."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Stop the workers; what is in flight is lost, and free for others."""
        try:
            self._workers.close()
        finally:
            self._meter.close()
            self._claims.close()

    @property
    def pending(self) -> int:
        """How many requests are not answered yet."""
        return len(self._ready) + len(self._waiting) + len(self._elsewhere) + len(self._running)

    @property
    def size(self) -> int:
        """How many models are scored at a time: as many requests keep all workers busy."""
        return self._workers.size

    def expect(self, count: int) -> None:
        """How many requests will come at most, for those who wait; what is recalled counts as one of them."""
        self._expected = count

    def submit(self, request: Request) -> bool:
        """Ask for a model's scores; whether there is something to measure for it."""
        if not self.pending:
            self._outcomes = deque(self._outcomes, maxlen=_SMALLEST_WINDOW)
        if self._retry_known and any(failure.counts for failure in self._journal.failures(request.key)):
            self._journal.forgive([request.key])
        answer = self._answer(request)
        if answer is not None:
            self._ready.append(answer)
            self._expected -= 1
            return False
        self._waiting.append(request)
        self._asked += 1
        window = len(self._waiting) + len(self._elsewhere) + len(self._running)
        if window > _SMALLEST_WINDOW:
            self._outcomes = deque(self._outcomes, maxlen=window)
        return True

    def next(self) -> Scored | None:
        """The next request that is answered, in any order; `None` when all are."""
        if not self._running:
            self._charged_at = time.perf_counter()
            self._meter.restart()
        while not self._ready:
            self._start_all()
            if self._ready:
                break
            if not self._running:
                if not self._elsewhere:
                    return None
                time.sleep(_POLL_SECONDS)
                self._look_elsewhere()
                continue
            outcome = self._workers.next(_POLL_SECONDS if self._elsewhere else None)
            if outcome is not None:
                self._finish(outcome)
            self._look_elsewhere()
        return self._ready.popleft()

    def _answer(self, request: Request) -> Scored | None:
        """What the journal says of a request: its scores, or why it is skipped; `None` when it must be measured."""
        measured, missing = self._stored(request)
        if not missing:
            self._succeeded = True
            return Scored(request, measured, recalled=True)
        failures = [failure for failure in self._journal.failures(request.key) if failure.counts]
        attempts = sum(failure.counts for failure in failures)
        if attempts <= self._retries:
            return None
        self._progress(f"evaluation skipped, because it failed before: {failures[-1].reason}")
        error = EvaluationError(f"skipped, because it failed before: {failures[-1].reason}")
        return Scored(request, None, error, recalled=True)

    def _stored(self, request: Request) -> tuple[dict[str, Metrics], dict[str, Part | None]]:
        """What the journal has of a request, and what it lacks: a part, or (`None`) a whole task."""
        whole = [task for task in request.tasks if task not in request.parts]
        measured = recall_tasks(self._journal, request.key, whole)
        missing: dict[str, Part | None] = {task: None for task in whole if task not in measured}
        for task, part in request.parts.items():
            order = Part(0, part.count, part.count, part.seed)
            prefix = recall_prefix(self._journal, request.key, task, order)
            if prefix is not None and prefix[0].stop >= part.stop:
                measured[task] = {name: scores[: part.stop] for name, scores in prefix[1].items()}
            else:
                missing[task] = Part(prefix[0].stop if prefix else 0, part.stop, part.count, part.seed)
        return measured, missing

    def _start_all(self) -> None:
        while self._waiting and self._workers.free:
            request = self._waiting.popleft()
            if not self._claims.take(request.key):
                self._elsewhere.append(request)
                continue
            # Another process may have been at it until just before the claim.
            answer = self._answer(request)
            if answer is not None:
                self._claims.give_back(request.key)
                self._ready.append(answer)
                continue
            _, missing = self._stored(request)
            parts = {task: part for task, part in missing.items() if part is not None}
            examples = {task: part.examples for task, part in parts.items()}
            job = Job(request.number, request.point, tuple(missing), examples)
            self._running[id(job)] = (request, job, parts)
            self._begun += 1
            ceiling = f"at most {self._expected}" if self._expected > self._asked else str(self._asked)
            self._progress(f"evaluation {self._begun} of {ceiling}")
            self._workers.start(job)

    def _look_elsewhere(self) -> None:
        """Requests that another process had claimed: it may have finished, or be gone."""
        self._waiting.extend(self._elsewhere)
        self._elsewhere.clear()

    def _finish(self, outcome: Outcome[Job, Mapping[str, Metrics]]) -> None:
        request, job, parts = self._running.pop(id(outcome.item))
        now = time.perf_counter()
        seconds, self._charged_at = now - self._charged_at, now
        if outcome.error is not None:
            self._fail(request, _as_failure(outcome.error), seconds)
            return
        assert outcome.result is not None
        shares = [(part.stop - part.start) / part.count for part in parts.values()]
        self._owed += request.cost * (sum(shares) + len(job.tasks) - len(parts)) / len(request.tasks)
        whole = int(self._owed + 1e-9)
        self._owed -= whole
        about = {"stage": self._stage, "point": request.point.tolist(), **request.about}
        charge = (self._stage, self._meter.charged(Ledger(evaluations=whole, seconds=seconds)))
        remember_tasks(self._journal, request.key, outcome.result, about, parts, charge)
        self._outcomes.append(True)
        self._succeeded = True
        measured, _ = self._stored(request)
        self._ready.append(Scored(request, measured))

    def _fail(self, request: Request, error: ParetomergeError, seconds: float) -> None:
        # What is wrong with the input is as wrong the next time.
        counts = self._retries + 1 if isinstance(error, InputError) else 1
        cost = self._meter.charged(Ledger(seconds=seconds))
        attempts = self._journal.fail(request.key, self._stage, str(error), cost, counts)
        if attempts <= self._retries:
            self._progress(f"evaluation failed, once more: {error}")
            self._asked += 1
            self._waiting.appendleft(request)
            return
        self._outcomes.append(False)
        self._failed.append(request.key)
        self._stop_if_hopeless(error)
        log.warning("evaluation at %s skipped: %s", request.point.tolist(), error)
        self._progress(f"evaluation skipped: {error}")
        self._ready.append(Scored(request, None, error))

    def _stop_if_hopeless(self, error: ParetomergeError) -> None:
        """Raise when there is no point in going on; what failed in this sitting is tried again in the next."""
        failed = self._outcomes.count(False)
        nothing_works = not self._succeeded and (isinstance(error, InputError) or failed >= self._workers.size)
        most_fail = failed > (self._outcomes.maxlen or 0) / 2
        if not (nothing_works or most_fail or isinstance(error, MissingExtraError)):
            return
        self._journal.forgive(self._failed)
        if nothing_works or not most_fail:
            raise error
        raise EvaluationError(
            f"{failed} of {len(self._outcomes)} evaluations failed, so the run stopped; what was measured is kept, and "
            f"the same command continues when the cause is repaired. The last one: {error}"
        ) from error


def _as_failure(error: Exception) -> ParetomergeError:
    if isinstance(error, ParetomergeError):
        return error
    failure = EvaluationError(f"a model could not be made or scored: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
