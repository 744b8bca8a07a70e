"""Ray's own multi-node test cluster, while its nodes and workers are killed, and grow in number."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.distributed.conftest import STORE
from tests.distributed.test_ray import gone
from tests.tiny import TASKS, calls_in, copy_folder, invoke, logged_recipe, plain, recipe_of, write_recipe

from paretomerge.distributed import Ray
from paretomerge.runs import Journal
from paretomerge.stages import estimate_run_front, open_study

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(ray_environment: Any) -> Iterator[Any]:
    """A head that works itself with one CPU; tests add nodes."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        connect=True,
        head_node_args={"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False},
    )
    yield made
    ray_environment.shutdown()
    made.shutdown()


def _add(cluster: Any, cpus: int = 1) -> Any:
    return cluster.add_node(num_cpus=cpus, object_store_memory=STORE)


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    return copy_folder(tiny, tmp_path / "study")


def _where(folder: Path) -> Callable[[int], tuple[str, int]]:
    """Logs who begins what, and takes its time."""
    import ray

    node = ray.get_runtime_context().get_node_id()

    def work(item: int) -> tuple[str, int]:
        with (folder / "begun").open("a") as handle:
            handle.write(f"{item} {node} {os.getpid()}\n")
        time.sleep(0.3)
        return node, item * item

    return work


def _begun(folder: Path) -> list[list[str]]:
    path = folder / "begun"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_nodes_that_are_killed_cost_no_item_and_others_take_their_place(cluster: Any, tmp_path: Path) -> None:
    nodes = [_add(cluster), _add(cluster)]
    workers = Ray(retries=3).open(partial(_where, tmp_path))
    found: dict[int, tuple[str, int]] = {}
    asked = most = 0
    old: set[str] | None = None
    started = time.monotonic()
    # As many items as it takes until the node that is added last has done one.
    while len(found) < asked or old is None or not {node for node, _ in found.values()} - old:
        while workers.free and (old is None or not {node for node, _ in found.values()} - old):
            workers.start(asked)
            asked += 1
        outcome = workers.next()
        most = max(most, workers.size)
        if outcome is None:
            continue
        assert outcome.error is None
        found[outcome.item] = outcome.result
        if len(found) in (8, 16) and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        if len(found) == 24:
            old = {node for node, _ in found.values()}
            _add(cluster, cpus=2)
        assert time.monotonic() - started < 240
    assert {item: square for item, (_, square) in found.items()} == {item: item * item for item in range(asked)}
    assert most == 3
    assert workers.size == 3  # the head and the two CPUs of the last node
    # What began twice was in flight when its node was killed.
    assert len(_begun(tmp_path)) <= asked + 2
    processes = [int(process) for _, _, process in _begun(tmp_path)]
    workers.close()
    assert gone(processes)


def test_a_front_is_the_same_while_workers_and_a_node_are_killed(cluster: Any, own: Path) -> None:
    front = {"evaluations": 12, "points": 12}
    expected = invoke("front", write_recipe(own, logged_recipe(front=front), "calm.yaml"), "--json").json
    paid = calls_in(own)
    (own / "control.txt").write_text("slow 0.2")
    study = open_study(write_recipe(own, logged_recipe(front=front), "stormy.yaml"))
    node = _add(cluster)
    stop, killed = threading.Event(), []

    def storm() -> None:
        """Kill a worker now and then, and once a whole node."""
        rng = np.random.default_rng(0)
        while not stop.wait(1.0 + rng.uniform()):
            if calls_in(own) <= paid:
                continue
            if not killed:
                killed.append("node")
                cluster.remove_node(node, allow_graceful=False)
            elif len(killed) < 4:
                actors = [child for child in _workers_of_ray() if child not in killed]
                if actors:
                    killed.append(actors[0])
                    os.kill(actors[0], signal.SIGKILL)

    thread = threading.Thread(target=storm)
    thread.start()
    try:
        found = estimate_run_front(study, executor=Ray(retries=5))
    finally:
        stop.set()
        thread.join()
    assert killed[0] == "node"
    assert plain(found.as_dict()["front"]) == expected["front"]
    assert plain(found.as_dict()["scores"]) == expected["scores"]
    assert not found.failures
    with study.folder.open_journal() as journal:
        assert journal.ledger()["front"].evaluations == journal.count() == 12
        assert not journal._database.rows("SELECT * FROM failures")
    # A kill costs at most what was in flight: two models on all their tasks for the node, one for each worker.
    assert calls_in(own) - paid <= len(TASKS) * (12 + len(killed))


def _workers_of_ray() -> list[int]:
    """The processes of actors, by the title that Ray gives them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


DRIVER = """
import sys
from paretomerge.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.mark.parametrize("kills", [3])
def test_a_driver_that_is_killed_leaves_nothing_and_the_same_command_continues(
    cluster: Any, own: Path, kills: int
) -> None:
    front = {"evaluations": 10, "points": 12}
    expected = invoke("front", write_recipe(own, logged_recipe(front=front), "calm.yaml"), "--json").json
    paid = calls_in(own)
    write_recipe(own, logged_recipe(front=front), "killed.yaml")
    (own / "control.txt").write_text("slow 0.15")
    (own / "driver.py").write_text(DRIVER)
    command = [sys.executable, "driver.py", "front", "killed.yaml", "--json", "--executor", "ray", "--workers", "1"]
    command += ["--ray-address", cluster.address]
    journal_file = own / "killed-run" / "journal.sqlite"

    def stored() -> int:
        if not journal_file.exists():
            return 0
        with Journal(journal_file) as journal:
            return journal.count()

    for number in range(kills):
        process = subprocess.Popen(command, cwd=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wanted, deadline = min(2 * number + 2, 9), time.monotonic() + 120
        while stored() < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        actors = _workers_of_ray()
        assert gone(actors, 40.0)
        assert stored() >= wanted
    process = subprocess.Popen(command, cwd=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out)["front"] == expected["front"]
    assert stored() == 10
    assert calls_in(own) - paid <= len(TASKS) * (10 + kills)


def test_an_interrupt_ends_the_actors_and_a_ray_that_was_started_for_it(own: Path, ray_environment: Any) -> None:
    write_recipe(own, logged_recipe(front={"evaluations": 10, "points": 12}))
    (own / "control.txt").write_text("slow 0.5")
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    (own / "driver.py").write_text(listen + DRIVER)
    command = [sys.executable, "driver.py", "front", "recipe.yaml", "--executor", "ray", "--workers", "1"]
    command += ["--ray-address", "local"]
    before = _all_of_ray()
    process = subprocess.Popen(command, cwd=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 150
    while calls_in(own) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    ours = [each for each in _all_of_ray() if each not in before]
    assert ours
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert gone(ours, 30.0)


def _all_of_ray() -> list[int]:
    """Every process that belongs to a Ray: its servers, and its workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::") or b"/ray/core/src/ray/" in command or b"/ray/_private/" in command:
            found.append(int(path.parent.name))
    return found


def test_an_asynchronous_search_goes_on_while_a_node_is_killed(cluster: Any, own: Path) -> None:
    node = _add(cluster)
    front = {"evaluations": 12, "points": 12, "asynchronous": True}
    study = open_study(write_recipe(own, recipe_of(front=front)))
    said: list[str] = []

    def progress(message: str) -> None:
        said.append(message)
        if message.startswith("6 of"):
            cluster.remove_node(node, allow_graceful=False)

    estimated = estimate_run_front(study, progress, executor=Ray(retries=3))
    assert any(message.startswith("6 of") for message in said)
    assert len(np.unique(estimated.scores.weights.round(6), axis=0)) == 12
