"""Commands with faults: the server that runs them, what went wrong, and how they ended."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import paretomerge

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 120.0


class Mode(IntEnum):
    """What happens at the n-th operation, as `interpose.c` numbers them."""

    OFF = 0
    COUNT = 1
    KILL_BEFORE = 2
    KILL_AFTER = 3
    KILL_TORN = 4
    ERROR_ONCE = 5
    ERROR_FROM = 6
    SHORT_WRITE = 7
    SIGNAL = 8
    READ_ERROR = 9


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Args:
        kind: its row in the table.
        mode, at, code: what happens at which operation, with which error number or signal.
        limits: names of `resource` limits → what the process may use at most.
        more: the same, on top of what the process uses when it starts.
        clock: `[calls, seconds]`, jumps of `time.time` after so many calls.
        seconds: when the process is killed by a timer.
        power: whether content that was not forced to the disk is lost.
        names: whether names are lost with it whose folder was not.
    """

    kind: str
    mode: Mode = Mode.COUNT
    at: int = 0
    code: int = 0
    limits: dict[str, int] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)
    clock: tuple[tuple[int, float], ...] = ()
    seconds: float | None = None
    power: bool = False
    names: bool = False

    def __str__(self) -> str:
        name = errno.errorcode.get(self.code, "") if self.mode in (Mode.ERROR_ONCE, Mode.ERROR_FROM) else ""
        return " ".join(filter(None, [self.kind, self.mode.name.lower(), name, f"at {self.at or self.seconds or ''}"]))


NOTHING = Fault("nothing")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code (minus a signal), what it said, and how many operations it took."""

    code: int
    out: str
    err: str
    operations: int
    reads: int
    late: bool
    log: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was."""
        return self.code == -signal.SIGKILL


class Server:
    """The process that runs commands; a context manager."""

    def __init__(self, scratch: Path) -> None:
        """Compile the library, and start."""
        self.scratch = scratch
        self._learnt: set[str] = set()
        library = compile_library(scratch)
        environment = os.environ | {
            "LD_PRELOAD": str(library),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PARETOMERGE_PROGRESS": "off",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        package = Path(paretomerge.__file__).parent
        rooms = [
            str(path.relative_to(package.parent).with_suffix("")).replace("/", ".") for path in package.rglob("*.py")
        ]
        self.prepare(["torch", "scipy.special", "scipy.optimize", *(room for room in rooms if "__" not in room)])

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(60)

    def _ask(self, what: str, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": what, **request}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def prepare(self, modules: list[str]) -> None:
        """Import what commands need, once for all of them."""
        self._ask("imports", names=modules)

    def learn(self, output: Path) -> None:
        """Import what an undisturbed command needed; of the package's own modules all are there."""
        modules = set(json.loads(_text(output / "modules") or "[]")) - self._learnt
        self._learnt |= modules
        self.prepare(sorted(modules))

    def start(self, arguments: list[str], folder: Path, fault: Fault = NOTHING) -> Running:
        """Start a command in a folder, which faults are confined to."""
        output = Path(tempfile.mkdtemp(dir=self.scratch))
        (output / "shadow").mkdir()
        told = {
            "mode": int(fault.mode),
            "at": fault.at,
            "code": fault.code,
            "limits": fault.limits,
            "more": fault.more,
            "clock": fault.clock,
            "log": str(output / "log"),
            "shadow": str(output / "shadow") if fault.power else "",
        }
        answer = self._ask("start", arguments=arguments, folder=str(folder), output=str(output), fault=told)
        return Running(self, answer["process"], output, fault, time.monotonic())

    def run(self, arguments: list[str], folder: Path, fault: Fault = NOTHING) -> Ended:
        """Run a command to its end; killed by the clock where the fault says when."""
        running = self.start(arguments, folder, fault)
        if fault.seconds is not None:
            time.sleep(fault.seconds)
            running.kill()
        return running.wait()


@dataclass(frozen=True)
class Running:
    """A command at work."""

    server: Server
    process: int
    output: Path
    fault: Fault
    started: float

    def kill(self, how: int = signal.SIGKILL) -> None:
        """Send a signal; a process that has ended waits for `wait`, so the number is still its own."""
        os.kill(self.process, how)

    def has_stopped(self, seconds: float = PATIENCE) -> bool:
        """Wait until the process stands still (SIGSTOP) or has ended; whether it stands still."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[0]
            if state in "TtZX":
                return state in "Tt"
            time.sleep(0.002)
        return False

    def wait(self, seconds: float = PATIENCE) -> Ended:
        """The end; after a power failure with only that on the disk which was forced to it."""
        answer = self.server._ask("wait", process=self.process, seconds=seconds)
        count = json.loads(_text(self.output / "count") or "{}")
        log = _text(self.output / "log")
        ended = Ended(
            answer["code"],
            _text(self.output / "out"),
            _text(self.output / "err"),
            count.get("reached", 0),
            count.get("reads", 0),
            answer["late"],
            log,
            time.monotonic() - self.started,
        )
        if self.fault.power:
            from tests.faults.power import fail_power

            fail_power(log, self.output / "shadow", self.fault.names)
        if self.fault is NOTHING:
            self.server.learn(self.output)
        shutil.rmtree(self.output)
        return ended


def compile_library(folder: Path) -> Path:
    """`interpose.c` as a shared library."""
    library = folder / "interpose.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "interpose.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def can_inject() -> bool:
    """Whether this machine can: Linux with a C compiler."""
    return sys.platform == "linux" and shutil.which("cc") is not None


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
