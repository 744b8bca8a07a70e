"""Kill -9 at any instant: a resumed run repeats no stored evaluation, and ends with the same front."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, calls_in, copy_folder, invoke, logged_recipe, start_cli, write_recipe

from paretomerge.distributed import Serial
from paretomerge.evaluation import Metrics, measure_tasks
from paretomerge.fronts import front_from_scores
from paretomerge.runs import Journal, evaluation_key
from paretomerge.stages.scoring.evaluations import Evaluations, Job
from paretomerge.stages.scoring.models import measure_points
from paretomerge.testing import LinearRegressionTasks
from paretomerge.types import Scores, simplex_grid

BATCHES, BATCH = 6, 3


def _search(folder: Path) -> Scores:
    """Batches of weightings that depend on the scores of the earlier ones, as a front method's do."""
    regression = LinearRegressionTasks.random(2, 3, 20, torch.Generator().manual_seed(0))
    finetunes = [
        np.linalg.lstsq(inputs.numpy(), targets.numpy(), rcond=None)[0]
        for inputs, targets in zip(regression.inputs, regression.targets, strict=True)
    ]
    objectives = regression.problem().tasks

    def score(theta: np.ndarray, task: str) -> np.ndarray:
        number = objectives.index(task)
        return (regression.inputs[number].numpy() @ theta - regression.targets[number].numpy()) ** 2 / 2

    def work(job: Job) -> Mapping[str, Metrics]:
        with (folder / "begun").open("a") as handle:
            handle.write(f"{_key(job.point)}\n")
        time.sleep(0.005)
        return measure_tasks(job.point @ np.stack(finetunes), score, job.tasks)

    rng = np.random.default_rng(0)
    found: list[Scores] = []
    with Journal(folder / "journal.sqlite") as journal:
        workers = Serial().open(lambda: work)
        with Evaluations(journal, "front", workers) as evaluations:
            for batch in range(BATCHES):
                points = rng.dirichlet((1, 1), size=BATCH) if found else simplex_grid(2, BATCH - 1)
                if batch > 1:
                    best = found[-1].weights[found[-1].values.sum(axis=1).argmin()]
                    points = 0.5 * points + 0.5 * best
                keys = [_key(point) for point in points]
                found.append(measure_points(evaluations, keys, points, _objectives(objectives), objectives).scores)
    return Scores.concatenate(found)


def _objectives(tasks: tuple[str, ...]) -> tuple:
    from paretomerge.types import Objective

    return tuple(Objective(f"loss[{task}]", task=task) for task in tasks)


def _key(point: np.ndarray) -> str:
    return evaluation_key(point=point)


def _stored(folder: Path) -> set[str]:
    if not (folder / "journal.sqlite").exists():
        return set()
    with Journal(folder / "journal.sqlite") as journal:
        return {model for (model,) in journal._database.rows("SELECT DISTINCT model FROM evaluations")}


def _begun(folder: Path) -> list[str]:
    return (folder / "begun").read_text().split() if (folder / "begun").exists() else []


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_random_instants_repeats_nothing_and_ends_alike(tmp_path: Path, kills: int) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    started = time.monotonic()
    expected = _search(whole)
    seconds = time.monotonic() - started
    context, rng = multiprocessing.get_context("fork"), np.random.default_rng(kills)
    folder, done = tmp_path / "killed 0", 0
    folder.mkdir()
    while done < kills:
        before, stored = len(_begun(folder)), _stored(folder)
        process = context.Process(target=_search, args=(folder,))
        process.start()
        # Each sitting may come about half of the way.
        process.join(rng.uniform(0, seconds / 2))
        process.kill()
        process.join()
        assert not stored & set(_begun(folder)[before:])
        done += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            _check(folder, expected, done)
            folder = tmp_path / f"killed {done}"
            folder.mkdir(exist_ok=True)
    stored, before = _stored(folder), len(_begun(folder))
    scores = _search(folder)
    assert not stored & set(_begun(folder)[before:])
    np.testing.assert_array_equal(scores.values, expected.values)
    _check(folder, expected, done)


def _check(folder: Path, expected: Scores, kills: int) -> None:
    """What was measured twice was in flight when the process was killed."""
    scores = _search(folder)
    front, wanted = front_from_scores(scores), front_from_scores(expected)
    np.testing.assert_array_equal(front.weights, wanted.weights)
    np.testing.assert_array_equal(front.values, wanted.values)
    begun = _begun(folder)
    assert len(set(begun)) == BATCHES * BATCH
    assert len(begun) <= BATCHES * BATCH + kills
    with Journal(folder / "journal.sqlite") as journal:
        assert journal.ledger()["front"].evaluations == journal.count() == BATCHES * BATCH


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 20), (2, 8)])
def test_the_command_line_survives_kills(tiny: Path, tmp_path: Path, workers: int, kills: int) -> None:
    front = {"evaluations": 12, "workers": workers}
    whole, killed = (copy_folder(tiny, tmp_path / name) for name in ("whole", "killed"))
    for folder in (whole, killed):
        write_recipe(folder, logged_recipe(front=front))
        (folder / "control.txt").write_text("slow 0.05")
    started = time.monotonic()
    process = start_cli("front", "recipe.yaml", folder=whole)
    process.communicate()
    assert process.returncode == 0
    seconds = time.monotonic() - started
    rng = np.random.default_rng(workers)
    for _ in range(kills):
        process = start_cli("front", "recipe.yaml", folder=killed)
        time.sleep(rng.uniform(0, seconds))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    for folder in (whole, killed):
        (folder / "control.txt").unlink()
    expected, found = (invoke("front", folder / "recipe.yaml", "--json").json for folder in (whole, killed))
    assert found["front"] == expected["front"]
    with Journal(killed / "recipe-run" / "journal.sqlite") as journal:
        count = journal.count()
    # A kill costs at most what is in flight: a model, on all its tasks, per worker.
    assert calls_in(killed) <= len(TASKS) * (count + kills * workers)
