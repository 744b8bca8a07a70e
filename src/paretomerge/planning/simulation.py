"""A discrete-event simulation of evaluating models with many workers: asynchronously, or batch by batch.

    asynchronous   a free worker asks the driver for a point, the driver proposes one after the other, and nobody waits
                   for anybody's evaluation
    batches        the driver proposes a batch, all of it is evaluated, and only then the next is proposed

The driver is one queue: `k` points take `(propose + growth · n) · (1 + further · (k - 1))` seconds once `n` scores are
known. A worker that dies
in the middle of an evaluation loses what it has done of it; it is replaced after a while, and the evaluation starts
again on whoever is free.

Law (Little): on average, evaluations in flight = rate of completion × time in flight; utilisation = the time that
workers spend on evaluations that end well, of all their time.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from paretomerge.errors import InputError

Order = Literal["asynchronous", "batches"]


@dataclass(frozen=True)
class Durations:
    """How long evaluations take: lognormal, with a few stragglers.

    Args:
        mean: seconds, without stragglers.
        spread: standard deviation of the logarithm; 0: all the same.
        stragglers: share of evaluations that take `factor` times as long.
        factor: how much longer these take.
    """

    mean: float
    spread: float = 0.0
    stragglers: float = 0.0
    factor: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what no clock could show."""
        if not (0 < self.mean < math.inf and 0 <= self.spread < math.inf):
            raise InputError(
                f"durations need a positive mean and a spread of at least 0, got {self.mean}, {self.spread}"
            )
        if not (0 <= self.stragglers <= 1 and self.factor > 0):
            raise InputError(f"stragglers is a share from 0 to 1, got {self.stragglers}; their factor is positive")

    def draw(self, rng: np.random.Generator) -> float:
        """The seconds of one evaluation."""
        value = self.mean * math.exp(self.spread * rng.standard_normal() - self.spread**2 / 2)
        return value * self.factor if self.stragglers and rng.random() < self.stragglers else value


@dataclass(frozen=True)
class Load:
    """What is simulated.

    Args:
        workers: how many evaluate side by side.
        evaluations: how many in all.
        durations: of one.
        order: asynchronous, or in batches.
        batch: evaluations per batch; as many as there are workers when `None`.
        first: evaluations of the first batch, when they are not as many.
        propose: seconds of the driver for one point (asynchronous) or for one batch, before any score is known.
        growth: seconds more for every score that is known.
        further: share of that for every point of a batch after the first.
        failures: deaths per second of a worker at work.
        restart: seconds until a dead worker is replaced.
        start_up: seconds until a new worker has opened the run.
    """

    workers: int
    evaluations: int
    durations: Durations
    order: Order = "asynchronous"
    batch: int | None = None
    first: int | None = None
    propose: float = 0.0
    growth: float = 0.0
    further: float = 0.0
    failures: float = 0.0
    restart: float = 0.0
    start_up: float = 0.0

    def __post_init__(self) -> None:
        """Refuse nothing to do, and nobody to do it."""
        if self.workers < 1 or self.evaluations < 1 or (self.batch is not None and self.batch < 1):
            raise InputError("a simulation needs at least one worker, one evaluation, and batches of at least one")
        if min(self.propose, self.growth, self.further, self.failures, self.restart, self.start_up) < 0:
            raise InputError("seconds and rates of a simulation are at least 0")


@dataclass(frozen=True)
class Simulated:
    """What came out.

    Args:
        makespan: seconds until the last evaluation is done.
        useful: worker-seconds of evaluations that ended well.
        lost: worker-seconds of evaluations that a death cut short.
        deaths: how many.
        in_flight: how many evaluations were worked on at a time, on average.
        flight: mean seconds from the start of an attempt to its end.
        driver: seconds that the driver was proposing.
        workers: how many there were.
        evaluations: how many ended well.
        unseen: scores that were still out when a point was proposed, on average: what the proposal could not know.
    """

    makespan: float
    useful: float
    lost: float
    deaths: int
    in_flight: float
    flight: float
    driver: float
    workers: int
    evaluations: int
    unseen: float

    @property
    def utilisation(self) -> float:
        """The share of all workers' time that ended in scores."""
        return self.useful / (self.workers * self.makespan)

    @property
    def wasted(self) -> float:
        """The share of the work that was lost to deaths."""
        return self.lost / (self.useful + self.lost)

    @property
    def speed_up(self) -> float:
        """Against one worker that never dies and never waits for a proposal."""
        return self.useful / self.makespan


def simulate(load: Load, seed: int = 0) -> Simulated:
    """Run a load once; the same seed gives the same durations to the same evaluations, whatever the order."""
    return _Simulation(load, seed).run()


class _Simulation:
    """Events are `(time, number, kind, worker)`; workers that are idle wait in a heap of their own."""

    def __init__(self, load: Load, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.load = load
        self.seconds = [load.durations.draw(rng) for _ in range(load.evaluations)]
        self.deaths_rng = np.random.default_rng([seed, 1])
        self.events: list[tuple[float, int, str, int]] = []
        self.number = 0
        self.idle: list[int] = []
        self.ready: list[int] = []  # evaluations that are proposed (or lost), newest last
        self.running: dict[int, tuple[int, float]] = {}
        self.asked = self.done = self.deaths = self.attempts = self.unseen = 0
        self.useful = self.lost = self.driver = 0.0
        self.proposing = False

    def run(self) -> Simulated:
        """Until everything is done."""
        for worker in range(self.load.workers):
            self._at(self.load.start_up, "free", worker)
        now = 0.0
        self._propose(now)
        while self.done < self.load.evaluations:
            now, _, kind, worker = heapq.heappop(self.events)
            getattr(self, f"_{kind}")(now, worker)
            self._start_all(now)
            self._propose(now)
        flight = self.useful + self.lost
        return Simulated(
            now,
            self.useful,
            self.lost,
            self.deaths,
            flight / now,
            flight / self.attempts,
            self.driver,
            self.load.workers,
            self.done,
            self.unseen / self.load.evaluations,
        )

    def _at(self, time: float, kind: str, worker: int) -> None:
        self.number += 1
        heapq.heappush(self.events, (time, self.number, kind, worker))

    def _propose(self, now: float) -> None:
        """Start proposing if there is somebody to propose for."""
        load = self.load
        left = load.evaluations - self.asked
        if self.proposing or not left:
            return
        if load.order == "batches":
            if self.asked > self.done:
                return
            count = min(left, (load.first if not self.asked else None) or load.batch or load.workers)
        else:
            # As many are asked for as workers could take; a lost evaluation waits already.
            if self.asked - self.done >= load.workers:
                return
            count = 1
        seconds = (load.propose + load.growth * self.done) * (1 + load.further * (count - 1))
        self.unseen += count * (self.asked - self.done)
        self.proposing = True
        self.driver += seconds
        self._at(now + seconds, "proposed", count)

    def _proposed(self, now: float, count: int) -> None:
        self.proposing = False
        self.ready += range(self.asked, self.asked + count)
        self.asked += count

    def _free(self, now: float, worker: int) -> None:
        heapq.heappush(self.idle, worker)

    def _start_all(self, now: float) -> None:
        while self.ready and self.idle:
            worker, item = heapq.heappop(self.idle), self.ready.pop(0)
            self.running[worker] = (item, now)
            self.attempts += 1
            life = self.deaths_rng.exponential(1 / self.load.failures) if self.load.failures else math.inf
            if life < self.seconds[item]:
                self._at(now + life, "died", worker)
            else:
                self._at(now + self.seconds[item], "finished", worker)

    def _finished(self, now: float, worker: int) -> None:
        item, _ = self.running.pop(worker)
        self.useful += self.seconds[item]
        self.done += 1
        self._free(now, worker)

    def _died(self, now: float, worker: int) -> None:
        item, started = self.running.pop(worker)
        self.lost += now - started
        self.deaths += 1
        self.ready.insert(0, item)
        self._at(now + self.load.restart + self.load.start_up, "free", worker)


def compare_orders(load: Load, seeds: Iterator[int] | range = range(5)) -> dict[str, list[Simulated]]:
    """The same load asynchronously and in batches, for several seeds."""
    orders: tuple[Order, ...] = ("asynchronous", "batches")
    chosen = list(seeds)
    return {order: [simulate(replace(load, order=order), seed) for seed in chosen] for order in orders}
