"""What lives on the other side: the actor that does the work, in a process of a Ray cluster."""

from __future__ import annotations

from typing import Any

from paretomerge.distributed.workers import reply_of, sendable


class Actor:
    """Opens what it needs once, then does one item after the other; `ray.remote` makes it an actor."""

    def __init__(self) -> None:
        """Nothing is opened before it is asked for."""
        self._work: Any = None

    def hello(self) -> str:
        """The node that it was placed on; answered as soon as it lives."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def open(self, sent: list[Any], threads: int) -> tuple[str, Any]:
        """Call the setup, which lies in the object store: `("ready", None)`, or `("broken", error)`.

        Args:
            sent: the reference of the setup, in a list so that Ray does not fetch it before this is called.
            threads: torch threads of this process.
        """
        import ray

        try:
            import torch

            torch.set_num_threads(threads)
            self._work = ray.get(sent[0])()
        except Exception as error:
            return "broken", sendable(error)
        return "ready", None

    def work(self, item: Any) -> tuple[str, Any]:
        """`("done", result)`, or `("raised", error)`."""
        return reply_of(self._work, item)
