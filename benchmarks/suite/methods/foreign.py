"""Other people's programs: each in a Python environment of its own, named by an environment variable."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.suite.methods.base import NotHere
from paretomerge.errors import FailureError
from paretomerge.types import Params

SCRIPTS = Path(__file__).resolve().parent.parent / "elsewhere"
ROUNDING = 1e-3
"""Relative to the largest update: single precision adds parameters a thousand times longer than that."""


@dataclass(frozen=True)
class Environment:
    """A Python that has a package.

    Args:
        package: as it is imported.
        variable: the environment variable that names the interpreter; without it this one serves if it has the package.
    """

    package: str
    variable: str

    @property
    def python(self) -> str:
        """The interpreter.

        Raises:
            NotHere: there is none.
        """
        named = os.environ.get(self.variable)
        if named is None and importlib.util.find_spec(self.package):
            return sys.executable
        if named is None:
            raise NotHere(f"{self.package} is not installed here: set {self.variable} to a Python that has it")
        if not os.access(named, os.X_OK):
            raise NotHere(f"{self.variable} is {named!r}, which is no program: set it to a Python with {self.package}")
        return named

    def run(self, script: str, *arguments: str) -> str:
        """What one of the scripts of `benchmarks/suite/elsewhere` says last; on one core and without a network.

        Raises:
            NotHere: there is no such Python.
            FailureError: the script failed; the end of what it said is the message.
        """
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        command = [self.python, "-P", str(SCRIPTS / script), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FailureError(f"{script} failed with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return (done.stdout.strip().splitlines() or [""])[-1]


@dataclass(frozen=True, eq=False)
class Stored:
    """Merged models on disk, read one at a time; the folder goes when nobody needs it any more.

    Args:
        folder: temporary, held so that it stays.
        count: of models.
        read: number → model.
    """

    folder: TemporaryDirectory[str]
    count: int
    read: Callable[[int], Params]

    def __iter__(self) -> Iterator[Params]:
        """One after the other."""
        return (self.read(number) for number in range(self.count))


def differences(theirs: Iterator[Params], ours: Iterator[Params], base: Params) -> dict[str, float]:
    """How far two sets of models are apart: element by element, over all models.

    Returns:
        `largest_difference`; `largest_update`, of ours from the base, to compare it with; `differing_share`, of the
        elements that differ by more than `ROUNDING` of the largest update; and `relative_difference`, of the root mean
        squares. Infinite where a number is not finite.
    """
    furthest, largest, apart, moved = 0.0, 0.0, 0.0, 0.0
    far = count = 0
    for one, other in zip(theirs, ours, strict=True):
        names = [name for name, tensor in other.items() if tensor.is_floating_point()]
        gaps = {name: (one[name].double() - other[name].double()).abs().nan_to_num(math.inf) for name in names}
        updates = {name: (other[name].double() - base[name].double()).abs() for name in names}
        largest = max(largest, *(float(update.max()) for update in updates.values()))
        furthest = max(furthest, *(float(gap.max()) for gap in gaps.values()))
        apart += sum(float(gap.square().sum()) for gap in gaps.values())
        moved += sum(float(update.square().sum()) for update in updates.values())
        far += sum(int((gap > ROUNDING * largest).sum()) for gap in gaps.values())
        count += sum(gap.numel() for gap in gaps.values())
    return {
        "largest_difference": furthest,
        "largest_update": largest,
        "differing_share": far / count,
        "relative_difference": math.sqrt(apart / moved) if moved else 0.0,
    }
