"""Executors measured on this machine: what the driver costs per evaluation, two workers against one, memory per actor.

    python -m benchmarks.scale.executors [--smoke]

Writes benchmarks/results/scale/executors.json. The ceiling of two workers is what two processes reach that know nothing
of each other and do the same work on the same machine; rounds alternate, because other work may run beside.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.publishing import machine

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.distributed import Executor, ProcessPool, Ray, Serial, Share, Workers
from paretomerge.evaluation import Metrics
from paretomerge.fronts.methods import FrontProblem, Informed
from paretomerge.merging import PosteriorMerge, collect_inputs
from paretomerge.runs import Journal, evaluation_key
from paretomerge.stages.measuring.in_place import MergedInPlace
from paretomerge.stages.scoring.evaluations import Evaluations, Job, Request
from paretomerge.types import Objective, Scores, Simplex

OUT = Path(__file__).parents[1] / "results" / "scale" / "executors.json"
TASKS = ("a", "b", "c")
CPUS = 4  # of the Ray that is started, so that workers of two measurements may wait side by side


def nothing() -> Callable[[Job], Mapping[str, Metrics]]:
    """Evaluations that take no time: what is left is the driver, the way to the worker and back, and the journal."""
    return lambda job: {task: {"loss": np.full(100, float(job.point.sum()))} for task in job.tasks}


def overhead(executor: Executor, count: int, folder: Path) -> dict[str, float]:
    """Seconds per evaluation with one worker: on the clock, and of this process's own time."""
    rng, found = np.random.default_rng(0), []
    with (
        Journal(folder / f"{type(executor).__name__}.sqlite") as journal,
        Evaluations(journal, "front", executor.open(nothing)) as evaluations,
    ):
        for number, point in enumerate(rng.dirichlet(np.ones(3), size=count + 1)):
            started, own = time.perf_counter(), time.process_time()
            evaluations.submit(Request(evaluation_key(point=point), point, TASKS, number=number))
            assert evaluations.next() is not None
            found.append((time.perf_counter() - started, time.process_time() - own))
    clock, own = np.array(found[1:]).T  # the first one opens the worker
    return {"median": float(np.median(clock)), "p90": float(np.quantile(clock, 0.9)), "own": float(own.mean())}


def proposals(count: int) -> dict[str, float]:
    """Seconds of a proposal of the default method when so many scores are known, and one more is pending."""
    rng = np.random.default_rng(0)
    points = rng.dirichlet(np.ones(3), size=count)
    centres = np.eye(3)
    values = ((points[:, None] - centres) ** 2).sum(-1)
    objectives = tuple(Objective(f"loss[{task}]", task=task) for task in TASKS)
    scores = Scores(TASKS, points, values, np.full(values.shape, 1e-3), objectives, ("merged",) * count)
    problem = FrontProblem(Simplex(TASKS), TASKS, objectives, tuple(o.name for o in objectives), (), None, 100)
    method, found = Informed(), []
    for repeat in range(3):
        started, own = time.perf_counter(), time.process_time()
        method.propose(problem, scores, 1, repeat, pending=np.full((1, 3), 1 / 3))
        found.append((time.perf_counter() - started, time.process_time() - own))
    return {
        "scores": count,
        "median": float(np.median([f[0] for f in found])),
        "own": float(np.median([f[1] for f in found])),
    }


def burn(seconds: float) -> int:
    """One evaluation's worth of work: so much of this process's own time on small matrix products."""
    torch.set_num_threads(1)
    matrix, count = torch.eye(128), 0
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        matrix = (matrix @ matrix).clamp(-1, 1)
        count += 1
    return count


def burning(seconds: float) -> Callable[[Any], int]:
    """A setup for workers."""
    return lambda _: burn(seconds)


def rate(workers: Workers[Any, int], items: int, at_once: int) -> float:
    """Items per second on the clock, with so many in flight."""
    started, begun, done = time.perf_counter(), 0, 0
    while done < items:
        while begun < items and begun - done < at_once:
            workers.start(begun)
            begun += 1
        done += workers.next() is not None
    return items / (time.perf_counter() - started)


def _independent(seconds: float, items: int, barrier: Any, answer: Any) -> None:
    burn(0.05)
    barrier.wait()
    started = time.perf_counter()
    for _ in range(items):
        burn(seconds)
    answer.put(items / (time.perf_counter() - started))


def independent_rate(processes: int, seconds: float, items: int) -> float:
    """Items per second of processes that know nothing of each other."""
    context = multiprocessing.get_context("spawn")
    barrier, answer = context.Barrier(processes), context.Queue()
    started = [
        context.Process(target=_independent, args=(seconds, items // processes, barrier, answer))
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    total = sum(answer.get() for _ in started)
    for process in started:
        process.join()
    return total


def efficiency(rounds: int, seconds: float, items: int) -> dict[str, Any]:
    """Two workers against one, and the ceiling, in alternating rounds."""
    kinds: dict[str, Callable[[int], Executor]] = {"pool": ProcessPool, "ray": Ray}
    setup = partial(burning, seconds)
    opened = {(name, n): make(n).open(setup) for name, make in kinds.items() for n in (1, 2)}
    try:
        for (_, n), workers in opened.items():
            rate(workers, 2 * n, n)
        found: dict[str, list[list[float]]] = {"independent": [], "pool": [], "ray": []}
        for number in range(rounds):
            for name, pairs in found.items():
                order = (1, 2) if number % 2 == 0 else (2, 1)
                rates = {
                    n: independent_rate(n, seconds, items * n)
                    if name == "independent"
                    else rate(opened[name, n], items * n, n)
                    for n in order
                }
                pairs.append([rates[1], rates[2]])
    finally:
        for workers in opened.values():
            workers.close()
    speedups = {name: [two / one for one, two in each] for name, each in found.items()}
    ceiling = float(np.median(speedups["independent"]))
    return {
        "seconds": seconds,
        "rates": found,
        "speedup": {name: float(np.median(each)) for name, each in speedups.items()},
        "of_the_ceiling": {name: float(np.median(speedups[name])) / ceiling for name in kinds},
        # The same from rates of all rounds together, two workers against two independent processes.
        "against_two_independent": {
            name: float(np.sum([e[1] for e in found[name]]) / np.sum([e[1] for e in found["independent"]]))
            for name in kinds
        },
    }


def _memory() -> dict[str, int]:
    """Bytes of this process: of its own, and its share of what several hold."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines[1:]}
    return {"private": sizes["Private_Clean"] + sizes["Private_Dirty"], "proportional": sizes["Pss"]}


@dataclass(frozen=True, eq=False)
class Merging:
    """Opens merged models in place, and tells what memory that takes."""

    maker: MergedInPlace
    copied: bool = False

    def shared(self, share: Share) -> Merging:
        """Through the object store."""
        return self if self.copied else replace(self, maker=self.maker.shared(share))

    def __call__(self) -> Callable[[Any], dict[str, Any]]:
        """Merge at a few points."""
        before = _memory()
        at = self.maker.open()
        opened = _memory()

        def work(point: np.ndarray) -> dict[str, Any]:
            places = {id(tensor): tensor.data_ptr() for tensor in at(point).values()}
            again = {id(tensor): tensor.data_ptr() for tensor in at(point[::-1].copy()).values()}
            assert places == again, "a model was not overwritten"
            return {"process": os.getpid(), "before": before, "opened": opened, "merged": _memory()}

        return work


def memory(parameters: int, actors: int, folder: Path) -> dict[str, Any]:
    """Memory of actors that merge a base and three finetunes of so many float32 parameters."""
    width = 1024
    shapes = {f"layer.{n}.weight": (parameters // (8 * width), width) for n in range(8)}
    for name in ("base", *TASKS):
        if not (folder / name).exists():
            generator = torch.Generator().manual_seed(len(name))
            write_params(folder / name, {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()})
    inputs = collect_inputs(
        {task: open_checkpoint(folder / task) for task in TASKS}, base=open_checkpoint(folder / "base")
    )
    size = sum(spec.nbytes for spec in inputs.specs.values())
    workers: Workers[Any, dict[str, Any]] = Ray(actors).open(Merging(MergedInPlace(inputs, PosteriorMerge())))
    found: dict[int, dict[str, Any]] = {}
    try:
        while len(found) < actors:
            for _ in range(actors):
                workers.start(np.array([0.2, 0.3, 0.5]))
            for _ in range(actors):
                outcome = workers.next()
                assert outcome is not None
                if outcome.error is not None:
                    raise outcome.error
                found[outcome.result["process"]] = outcome.result  # type: ignore[index]
    finally:
        workers.close()
    each = list(found.values())

    def added(kind: str, when: str) -> float:
        return float(np.mean([one[when][kind] - one["before"][kind] for one in each]))

    return {
        "actors": actors,
        "model_bytes": size,
        "input_bytes": size * (1 + len(TASKS)),
        "private_before": float(np.mean([one["before"]["private"] for one in each])),
        "private_added_by_inputs": added("private", "opened"),
        "private_added_by_inputs_and_one_model": added("private", "merged"),
        "proportional_added_in_all": sum(one["merged"]["proportional"] - one["before"]["proportional"] for one in each),
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="A minute's worth, nothing is written.")
    parser.add_argument("--only", help="This part alone; the others stay as they were written.")
    parser.add_argument("--rounds", type=int, default=5, help="Of the efficiency.")
    options = parser.parse_args()
    smoke = options.smoke
    torch.set_num_threads(1)
    import ray

    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, num_cpus=CPUS, object_store_memory=600 * 2**20
    )
    count, rounds, items = (20, 1, 2) if smoke else (200, options.rounds, 5)
    found: dict[str, Any] = json.loads(OUT.read_text()) if options.only else {}
    found |= {**machine(), "ray": ray.__version__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        executors = (Serial(), ProcessPool(1), Ray(1))
        parts: dict[str, Callable[[], Any]] = {
            "overhead": lambda: {type(each).__name__: overhead(each, count, folder) for each in executors},
            "proposals": lambda: [proposals(known) for known in ((10,) if smoke else (10, 30, 100))],
            "memory": lambda: [memory(2_000_000 if smoke else 16_000_000, actors, folder) for actors in (1, 2)],
            "efficiency": lambda: efficiency(rounds, 0.2 if smoke else 0.4, items),
        }
        for part, measure in parts.items():
            if options.only not in (None, part):
                continue
            found[part] = measure()
            found.setdefault("load", {})[part] = os.getloadavg()[0]
            print(part, json.dumps(found[part]), flush=True)
            if not smoke:
                OUT.parent.mkdir(parents=True, exist_ok=True)
                OUT.write_text(json.dumps(found, indent=1) + "\n")
    ray.shutdown()


if __name__ == "__main__":
    main()
