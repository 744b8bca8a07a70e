"""Ray on one node: what is shared, what is placed, what is left behind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.distributed.test_workers import _all, _die_while_opening, _open

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.distributed import Ray, Share, SharedParams, attached
from paretomerge.distributed.ray_workers import RayWorkers, _room
from paretomerge.distributed.shared_params import Sharing
from paretomerge.errors import FailureError, InputError, MissingExtraError
from paretomerge.types import Params, TensorSpec, digest_params

BIG = 24_000_000


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(processes: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(_alive, processes))


@dataclass(frozen=True, eq=False)
class Held:
    """A setup that holds parameters, and says so."""

    params: Params

    def shared(self, share: Share) -> Held:
        return replace(self, params=share(self.params))

    def __call__(self) -> Callable[[str], Any]:
        before = _private()
        params = attached(self.params)

        def work(item: str) -> Any:
            if item == "digest":
                return digest_params(params)
            if item == "copy":
                copied = {name: tensor.clone() for name, tensor in params.items()}
                return _private() - before, len(copied)
            total = float(sum(tensor.double().sum() for tensor in params.values()))
            time.sleep(0.3)  # so that both workers get one
            return os.getpid(), _private() - before, total, next(iter(params.values())).data_ptr() % 64

        return work


def _private() -> int:
    """Bytes that no other process shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def _visible_gpus() -> Callable[[Any], Any]:
    return lambda item: (time.sleep(0.3), os.environ.get("CUDA_VISIBLE_DEVICES"))[1]


def test_parameters_cross_the_object_store_bit_for_bit_in_every_dtype(one_node: Any, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    square = torch.randn(5, 4, generator=generator)
    floats = {str(dtype): square.to(dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)}
    params = {
        **floats,
        "transposed": square.T,
        "integers": torch.arange(7),
        "flags": torch.tensor([True, False, True]),
        "number": torch.tensor(3.5, dtype=torch.bfloat16),
        "nothing": torch.zeros(0, 3),
        "again": floats["torch.float32"],
    }
    shared = Sharing()(params)
    assert isinstance(shared, SharedParams)
    assert list(shared) == list(params)
    assert len(shared) == len(params)
    assert shared.spec("transposed") == TensorSpec((4, 5), torch.float32)
    assert digest_params(shared) == digest_params(params) == digest_params(shared.attached())
    assert shared._references["again"] == shared._references["torch.float32"]
    write_params(tmp_path / "stored", floats)
    lazy = open_checkpoint(tmp_path / "stored")
    sharing = Sharing()
    assert sharing(lazy) is sharing(lazy) is sharing(sharing(lazy))
    assert digest_params(sharing(lazy)) == digest_params(floats)


def test_workers_of_a_node_share_one_copy(one_node: Any) -> None:
    """Each reads all of it, and none has it in memory of its own."""
    params = {"w": torch.arange(BIG // 4, dtype=torch.float32), "b": torch.ones(BIG // 2, dtype=torch.bfloat16)}
    size = 2 * BIG
    workers = Ray(2).open(Held(params))
    try:
        found = [outcome.result for outcome in _all(workers, ["sum", "sum", "sum", "sum"])]
        assert len({result[0] for result in found}) == 2
        for _, private, total, misaligned in found:
            assert total == float(sum(tensor.double().sum() for tensor in params.values()))
            assert not misaligned
            assert private < 0.75 * size  # sums in double precision take some, which is given back or not
        assert min(result[1] for result in found) < 0.4 * size
        (copied,) = _all(workers, ["copy"])
        assert copied.result[0] > size  # what the numbers above would be if it were copied
    finally:
        workers.close()


def test_nothing_is_connected_before_there_is_work() -> None:
    workers = Ray(2, address="nowhere.invalid:1").open(partial(_open, Path()))
    assert (workers.size, workers.free) == (2, 2)
    assert workers.next() is None
    workers.close()


def test_closing_leaves_no_actor_and_what_was_connected_by_others_stays(one_node: Any, tmp_path: Path) -> None:
    workers = Ray(2).open(partial(_open, tmp_path))
    for item in ("slow", "slow"):
        workers.start(item)
    deadline = time.monotonic() + 60
    while (not (tmp_path / "opened").exists() or len(_processes(tmp_path)) < 2) and time.monotonic() < deadline:
        assert workers.next(0.1) is None
    processes = _processes(tmp_path)
    assert len(processes) == 2
    workers.close()
    assert gone(processes)
    assert one_node.is_initialized()
    assert workers.next() is None


def _processes(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "opened").read_text().split()]


def test_an_item_whose_worker_dies_once_is_done_elsewhere(one_node: Any, tmp_path: Path) -> None:
    assert list(Ray(1, retries=1).map(partial(_die_once, tmp_path), ["a", "b"])) == ["a", "b"]
    assert len((tmp_path / "begun").read_text().split()) == 3


def _die_once(folder: Path, item: str) -> str:
    begun = folder / "begun"
    first = not begun.exists()
    with begun.open("a") as handle:
        handle.write(f"{item}\n")
    if first:
        os._exit(9)
    return item


def test_workers_that_cannot_even_open_are_a_failure_with_advice(one_node: Any) -> None:
    workers = Ray(1, retries=0).open(_die_while_opening)
    workers.start(1)
    with pytest.raises(FailureError, match=r"1 workers of Ray died .* before they had opened their inputs"):
        workers.next()
    workers.close()


def test_a_worker_without_a_place_is_said_with_what_the_nodes_have(one_node: Any) -> None:
    workers = Ray(1, gpus_per_worker=1.0, patience=1.0).open(partial(_open, Path()))
    workers.start(1)
    with pytest.raises(FailureError, match=r"no worker found a place .* needs 1 CPUs, 1 GPUs, .* have 2 CPUs, 0 GPUs"):
        workers.next()
    workers.close()


def test_a_setup_that_cannot_be_sent_is_refused_at_the_first_item(one_node: Any) -> None:
    workers = Ray(1).open(partial(_open, sys.stdout))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be sent to worker processes"):
        workers.start(1)
    workers.close()


def test_a_node_has_room_for_what_fits_into_all_that_is_asked_for() -> None:
    assert _room({"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 0.5}) == 4
    assert _room({"CPU": 8.0}, {"CPU": 1.0, "GPU": 0.5}) == 0
    assert _room({"CPU": 3.0}, {"CPU": 0.1, "GPU": 0.0}) == 30


def test_growth_is_told_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a cluster that is only pretended: a wait ends when there is more room than was seen."""

    class Pretended:
        exceptions = None
        cpus = 1.0

        def nodes(self) -> list[dict[str, Any]]:
            return [{"Alive": True, "Resources": {"CPU": self.cpus}}, {"Alive": False, "Resources": {"CPU": 99.0}}]

    workers: RayWorkers[int, int] = RayWorkers(lambda: abs, None, None, {"CPU": 1.0, "GPU": 0.0})
    monkeypatch.setattr("paretomerge.distributed.ray_workers.hold", lambda address: Pretended())
    assert workers.free == workers.size == 1
    workers._ray.cpus, workers._looked = 3.0, -10.0
    assert workers.size == 3
    workers._ray.cpus, workers._looked = 0.0, -10.0
    assert workers.size == 1  # to wait for a node


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    workers = Ray(1).open(partial(_open, Path()))
    with pytest.raises(MissingExtraError, match=r"pip install 'paretomerge\[ray\]'"):
        workers.start(1)
