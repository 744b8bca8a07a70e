"""Runs commands in forked processes: torch is imported once, and each command starts within milliseconds.

`python -m tests.faults.server`, with one JSON request per line on standard input and one answer per line on standard
output. It is started with the library of `interpose.c` loaded, which a command arms for itself alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def serve() -> None:
    """Answer requests until standard input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"start": start, "wait": wait, "imports": import_all}[request.pop("do")](**request)
        print(json.dumps(answer), flush=True)


def import_all(names: list[str]) -> dict[str, Any]:
    """Import what commands will need."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    return {}


def start(arguments: list[str], folder: str, output: str, fault: dict[str, Any]) -> dict[str, Any]:
    """Run a command in a process of its own."""
    sys.stdout.flush()
    process = os.fork()
    if not process:
        code = 70
        try:
            code = _command(arguments, Path(folder), Path(output), fault)
        finally:
            os._exit(code)
    return {"process": process}


def wait(process: int, seconds: float) -> dict[str, Any]:
    """How a process ended: its exit code, or minus the signal; it is killed when it takes too long."""
    deadline = time.monotonic() + seconds
    pause = 0.001
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return {"code": os.waitstatus_to_exitcode(status), "late": False}
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return {"code": -signal.SIGKILL, "late": True}
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)


def _command(arguments: list[str], folder: Path, output: Path, fault: dict[str, Any]) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    os.chdir(folder)
    for number, name in ((0, os.devnull), (1, output / "out"), (2, output / "err")):
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(descriptor, number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    from paretomerge.cli import main

    library = _arm(fault, folder)
    try:
        code = main(arguments)
    finally:
        if library is not None:
            library.fault_disarm()
            for name in ("RLIMIT_AS", "RLIMIT_FSIZE"):
                number = getattr(resource, name)
                hard = resource.getrlimit(number)[1]
                resource.setrlimit(number, (hard, hard))
            count = {"reached": library.fault_reached(), "reads": library.fault_reads()}
            (output / "count").write_text(json.dumps(count))
    (output / "modules").write_text(json.dumps(sorted(sys.modules)))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _arm(fault: dict[str, Any], folder: Path) -> Any:
    """Whatever is to go wrong in this process."""
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = fault.get("limits", {}) | {name: in_use + more for name, more in fault.get("more", {}).items()}
    for name, limit in limits.items():
        number = getattr(resource, name)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))
    if fault.get("clock"):
        _jump(fault["clock"])
    if "mode" not in fault:
        return None
    library = ctypes.CDLL(None)
    library.fault_reached.restype = library.fault_reads.restype = ctypes.c_long
    library.fault_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, *[ctypes.c_char_p] * 3]
    texts = [fault.get("root", str(folder)), fault.get("log", ""), fault.get("shadow", "")]
    library.fault_arm(fault["mode"], fault["at"], fault["code"], *(text.encode() for text in texts))
    return library


def _jump(jumps: list[list[float]]) -> None:
    """Let the clock on the wall jump: `[calls, seconds]`, after so many looks at it; the monotonic one goes on."""
    looks, own = 0, time.time

    def shown() -> float:
        nonlocal looks
        looks += 1
        return own() + sum(seconds for calls, seconds in jumps if looks > calls)

    clock: Callable[[], float] = shown
    time.time = clock


if __name__ == "__main__":
    serve()
