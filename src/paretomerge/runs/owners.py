"""Who measures what: names of processes that share a journal, and whether they still live."""

from __future__ import annotations

import os
import socket
import uuid
from pathlib import Path


def new_owner() -> str:
    """A name for this process that no other has: machine, process number, when it started, and a random word."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}:{uuid.uuid4().hex[:8]}"


def is_alive(owner: str) -> bool:
    """Whether a process may still be at work; of another machine's nobody can know, so it counts as alive."""
    try:
        host, number, started, _ = owner.rsplit(":", 3)
        process = int(number)
    except ValueError:
        return True
    if host != socket.gethostname():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it belongs to somebody else
    # A number is given again to a later process.
    return _started(process) == started


def is_here(owner: str) -> bool:
    """Whether a process belongs to this machine, so that `is_alive` knows rather than supposes."""
    try:
        host, number, _, _ = owner.rsplit(":", 3)
    except ValueError:
        return False
    return host == socket.gethostname() and number.isdigit()


def _started(process: int) -> str:
    """When a process started, in the kernel's ticks; nothing where the system does not say, or it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
