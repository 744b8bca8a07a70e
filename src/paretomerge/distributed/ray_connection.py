"""The connection of this process to a Ray cluster: found or started when it is needed; what was started here is ended.

Ray's own usage reports to the network are off, unless somebody has turned them on.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

from paretomerge.errors import FailureError, MissingExtraError

_lock = threading.Lock()
_users = 0
_ours = False


def import_ray() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
    except ImportError as error:
        raise MissingExtraError.of("ray", "ray") from error
    return ray


def hold(address: str | None = None) -> Any:
    """Connect, unless this process is connected already; give it back by `let_go`.

    Args:
        address: `host:port` of a cluster, `"auto"` for one that must run on this machine, `"local"` for a new one of
            this machine alone; `None` looks for a running cluster (`RAY_ADDRESS`, then this machine) and starts one
            otherwise.

    Raises:
        MissingExtraError: Ray is not installed.
        FailureError: no such cluster, or it does not answer.
    """
    global _users, _ours
    ray = import_ray()
    with _lock:
        if not ray.is_initialized():
            try:
                ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if address not in (None, "local") else {"include_dashboard": False}),
                )
            except Exception as error:
                raise FailureError(_why_not(address, error)) from error
            _ours, _users = True, 0
        _users += 1
    return ray


def let_go() -> None:
    """The opposite of `hold`: the last one disconnects, and ends what `hold` has started."""
    global _users, _ours
    with _lock:
        _users -= 1
        if _users > 0 or not _ours:
            return
        _ours = False
        import_ray().shutdown()


def _why_not(address: str | None, error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    if address in (None, "local"):
        return (
            f"Ray could not be started on this machine: {said}. Is there memory and disk left for it? "
            "`ray start --head` shows more; --executor pool works on one machine without it"
        )
    return (
        f"no Ray cluster answers at {address!r}: {said}. `ray status` on its head node shows whether it runs; both "
        "sides need the same versions of Ray and Python"
    )
