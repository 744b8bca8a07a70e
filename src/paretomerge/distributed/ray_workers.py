"""Workers that are actors of a Ray cluster: placed where there is room, replaced when they die.

An item whose worker died is started elsewhere, as often as it may; a worker that died without having begun it does not
count. An actor whose setup fails is not replaced as long as others work: its node may lack something that theirs have.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from paretomerge.distributed.ray_actors import Actor
from paretomerge.distributed.ray_connection import hold, let_go
from paretomerge.distributed.shared_params import Sharing
from paretomerge.distributed.workers import Outcome, Setup
from paretomerge.errors import FailureError, InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_SECONDS = 1.0
"""How often the cluster is looked at for room."""

log = logging.getLogger("paretomerge")


class _Task(Generic[Item]):
    """An item, and how many workers died of it."""

    def __init__(self, item: Item) -> None:
        self.item, self.deaths = item, 0


class _Placed:
    """One actor as the driver sees it: `reply` is what it was asked for last, and `greeting` comes before that."""

    def __init__(self, handle: Any, sent: Any, threads: int) -> None:
        self.handle = handle
        self.greeting = handle.hello.remote()
        self.reply: Any = handle.open.remote([sent], threads)
        self.ready = self.placed = False
        self.task: _Task[Any] | None = None

    def begin(self, task: _Task[Any]) -> None:
        self.task = task
        self.greeting, self.reply = self.handle.hello.remote(), self.handle.work.remote(task.item)


class RayWorkers(Generic[Item, Result]):
    """Actors with at most one item at a time; make them with `Ray(...).open(setup)`.

    Args:
        setup: called once in each actor. One with a method `shared(share)` is asked for what to send instead of it, in
            which `share(params)` stands for each large set of tensors.
        workers: how many actors at most; `None`: as many as the cluster has room for.
        address: see `Ray`.
        resources: what an actor reserves, `{"CPU": …, "GPU": …}`.
        retries: how often an item whose worker died is started again.
        patience: seconds to wait for a first node with room.

    Raises:
        InputError: at the first item: a setup that cannot be sent.
        FailureError: no cluster, no node with room, or workers that die before they are ready.
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self,
        setup: Setup[Item, Result],
        workers: int | None,
        address: str | None,
        resources: Mapping[str, float],
        retries: int = 2,
        patience: float = 300.0,
    ) -> None:
        """Neither connection nor actor yet."""
        self._setup, self._workers, self._address = setup, workers, address
        self._resources, self._retries, self._patience = dict(resources), retries, patience
        self._ray: Any = None
        self._sent: Any = None
        self._actors: list[_Placed] = []
        self._waiting: deque[_Task[Item]] = deque()
        self._refused = self._stillborn = self._seen = 0
        self._looked, self._room, self._alone_since = -_LOOK_SECONDS, 0, 0.0

    @property
    def size(self) -> int:
        """How many items can be worked on at a time: what was asked for, or what the cluster has room for now."""
        wanted = self._fitting() if self._workers is None else self._workers
        return max(1, wanted - self._refused)

    @property
    def free(self) -> int:
        """How many more can be started now."""
        self._seen = self.size
        return max(0, self._seen - len(self._waiting) - sum(actor.task is not None for actor in self._actors))

    def start(self, item: Item) -> None:
        """Give the item to an idle actor, or to a new one."""
        self._connect()
        self._seen = self.size
        self._waiting.append(_Task(item))
        self._assign()

    def next(self, seconds: float | None = None) -> Outcome[Item, Result] | None:
        """Wait for an actor that is done, or has died.

        `None` when none is after `seconds`, when none was started, or when the cluster has grown.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._waiting or any(actor.task is not None for actor in self._actors):
            self._assign()
            asked = {actor.reply: actor for actor in self._actors if actor.reply is not None}
            left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic()))
            done, _ = self._ray.wait(list(asked), num_returns=1, timeout=left)
            outcome = self._received(asked[done[0]]) if done else None
            if outcome is not None:
                return outcome
            if not done and ((deadline is not None and time.monotonic() >= deadline) or self.size > self._seen):
                self._seen = self.size
                return None
            self._require_place()
        return None

    def close(self) -> None:
        """End all actors, and what was started for them; what is being worked on is lost."""
        self._waiting.clear()
        while self._actors:
            self._end(self._actors.pop())
        if self._ray is not None:
            self._ray = self._sent = None
            let_go()

    def _connect(self) -> None:
        if self._ray is None:
            self._ray = hold(self._address)
            self._alone_since = time.monotonic()
        if self._sent is None:
            setup = self._setup
            if hasattr(setup, "shared"):
                setup = setup.shared(Sharing())
            try:
                self._sent = self._ray.put(setup)
            except TypeError as error:
                raise InputError(
                    f"{self._setup!r:.80} cannot be sent to worker processes ({_said(error)}): "
                    "define it at the top of a module, or work serially"
                ) from error

    def _fitting(self) -> int:
        """How many actors the nodes that live now have room for, if they were empty."""
        if self._ray is None:
            self._ray = hold(self._address)
            self._alone_since = time.monotonic()
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._room = sum(_room(node.get("Resources", {}), self._resources) for node in self._living())
            self._looked = time.monotonic()
        return self._room

    def _living(self) -> list[Any]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _assign(self) -> None:
        """Items to ready actors, and an actor for each item that is left over."""
        for actor in self._actors:
            if self._waiting and actor.ready and actor.task is None:
                actor.begin(self._waiting.popleft())
        coming = sum(not actor.ready for actor in self._actors)
        for _ in range(min(len(self._waiting) - coming, self.size - len(self._actors))):
            self._actors.append(self._placed())

    def _placed(self) -> _Placed:
        remote = self._ray.remote(Actor).options(
            num_cpus=self._resources["CPU"],
            num_gpus=self._resources["GPU"],
            max_restarts=0,
            max_task_retries=0,
        )
        return _Placed(remote.remote(), self._sent, max(1, int(self._resources["CPU"])))

    def _received(self, actor: _Placed) -> Outcome[Item, Result] | None:
        reply, actor.reply = actor.reply, None
        try:
            kind, content = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            return self._buried(actor, error)
        if kind == "ready":
            actor.ready = actor.placed = True
            self._stillborn = 0
            return None
        if kind == "broken":
            self._refuse(actor, content)
            return None
        assert actor.task is not None
        item, actor.task = actor.task.item, None
        return Outcome(item, content) if kind == "done" else Outcome(item, None, content)

    def _refuse(self, actor: _Placed, error: Exception) -> None:
        """An actor that cannot open its inputs: raise, unless others can."""
        self._forget(actor)
        if not any(other.ready for other in self._actors):
            raise error
        self._refused += 1
        log.warning("a worker could not open its inputs and is left out: %s", error)

    def _buried(self, actor: _Placed, error: Exception) -> Outcome[Item, Result] | None:
        """Replace a dead actor; its item is started elsewhere, or has failed."""
        begun, task = self._has_begun(actor), actor.task
        self._forget(actor)
        why = _said(error)
        log.info("a worker died and is replaced: %s", why)
        if not actor.ready:
            self._stillborn += 1
            if self._stillborn > self._retries and not any(other.ready for other in self._actors):
                raise FailureError(
                    f"{self._stillborn} workers of Ray died one after the other before they had opened their inputs, "
                    f"usually because memory ran out; the last one: {why}"
                ) from error
        if task is None:
            return None
        task.deaths += begun
        if task.deaths <= self._retries:
            self._waiting.appendleft(task)
            return None
        plural = "worker" if task.deaths == 1 else f"{task.deaths} workers"
        return Outcome(
            task.item,
            None,
            FailureError(
                f"the {plural} that this was given to died, usually because memory ran out: use fewer workers per "
                f"machine (--workers, or more CPUs for each); the last one: {why}"
            ),
        )

    def _has_begun(self, actor: _Placed) -> bool:
        """Whether an actor still lived when it was given its item."""
        answered, _ = self._ray.wait([actor.greeting], timeout=0)
        if not answered:
            return False
        try:
            self._ray.get(actor.greeting)
        except self._ray.exceptions.RayError:
            return False
        return True

    def _require_place(self) -> None:
        """Raise `FailureError` when no actor was placed for too long."""
        for actor in self._actors:
            if not actor.placed:
                answered, _ = self._ray.wait([actor.greeting], timeout=0)
                actor.placed = bool(answered)
        now = time.monotonic()
        if any(actor.placed for actor in self._actors):
            self._alone_since = now
        elif now - self._alone_since > self._patience:
            nodes = [
                ", ".join(f"{node['Resources'].get(kind, 0):g} {kind}s" for kind in ("CPU", "GPU"))
                for node in self._living()
            ]
            wanted = ", ".join(f"{number:g} {kind}s" for kind, number in self._resources.items())
            raise FailureError(
                f"no worker found a place in the Ray cluster for {self._patience:.0f} s: each needs {wanted}, and the "
                f"nodes have {'; '.join(nodes) or 'gone'}, part of which others may hold. Ask for less per worker, "
                "or add nodes"
            )

    def _forget(self, actor: _Placed) -> None:
        self._actors.remove(actor)
        self._end(actor)

    def _end(self, actor: _Placed) -> None:
        with suppress(Exception):  # it is gone, or the cluster is
            self._ray.kill(actor.handle)


def _said(error: Exception) -> str:
    """What Ray says, without its middle."""
    text = " ".join(str(error).split())
    return text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"


def _room(node: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """How many actors an empty node has room for."""
    return int(min(node.get(kind, 0.0) / number + 1e-9 for kind, number in wanted.items() if number > 0))
