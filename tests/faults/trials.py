"""Faults of a command that are not of one operation: time, limits, sources that change, company."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tests.faults.plans import operations_of, places
from tests.faults.running import NOTHING, Fault, Mode
from tests.faults.scenarios import CorruptError, LostError, Scenario, Stand, require_equal, require_message
from tests.faults.state import calls_of, state_of

DAY = 86400.0


def delete(path: Path) -> None:
    """The file is gone."""
    path.unlink()


def cut_off(path: Path) -> None:
    """The file ends too early."""
    os.truncate(path, path.stat().st_size - 16)


def change(path: Path) -> None:
    """One value in place: same size, other content."""
    with path.open("rb+") as handle:
        handle.seek(-3, os.SEEK_END)
        byte = handle.read(1)[0]
        handle.seek(-3, os.SEEK_END)
        handle.write(bytes([byte ^ 1]))


def replace(path: Path) -> None:
    """Another file under the same name, as an atomic writer leaves it."""
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    other = path.with_suffix(".new")
    other.write_bytes(bytes(content))
    other.rename(path)


HARMS = (delete, cut_off, change, replace)


def faults_in_time(seconds: float, count: int, seed: int) -> Iterator[Fault]:
    """Kills at random instants of a command that takes so long."""
    for instant in np.random.default_rng(seed).uniform(0, seconds, count):
        yield Fault("kill -9 at a random instant", seconds=float(instant))


def faults_of_limits() -> Iterator[Fault]:
    """Files that may not grow, and memory that runs out."""
    for size in (100, 5000):
        yield Fault("file size limit", limits={"RLIMIT_FSIZE": size})
    for size in (0, 2, 8):
        yield Fault("out of memory", more={"RLIMIT_AS": size << 20})


def faults_of_reading(reads: int, count: int, seed: int) -> Iterator[Fault]:
    """Reads that fail."""
    for at in places(["read"] * reads, ("read",), count, seed):
        yield Fault("read error", Mode.READ_ERROR, at, errno.EIO)


def faults_of_clocks() -> Iterator[Fault]:
    """A day ahead or back: before the command, in the middle of it, and there and back."""
    for jump in (DAY, -DAY):
        for clock in (((0, jump),), ((5, jump),), ((3, jump), (9, -jump))):
            yield Fault("clock jumps by a day", clock=clock)


def power_fails_after(stand: Stand, scenario: Scenario) -> None:
    """The power fails when the command has ended well: all that it made must be there.

    Raises:
        LostError: something is not.
        CorruptError: something is not what it was.
    """
    _, after, _, _ = stand.undisturbed(scenario)
    stand.lay_out(scenario)
    ended = stand.run(scenario, Fault("power failure after the end", power=True, names=True))
    assert ended.code == 0, ended
    stand.require_readable()
    found = state_of(stand.folder)
    for name, digest in after.files.items():
        if name not in found.files:
            raise LostError(f"{name} is gone")
        if found.files[name] != digest:
            raise CorruptError(f"{name} is not what it was")
    if found.evaluations != after.evaluations or found.facts != after.facts or found.costs != after.costs:
        raise LostError("the journal lacks something")


def change_source(stand: Stand, scenario: Scenario, at: int, harm: Callable[[Path], None]) -> None:
    """Harm a finetune after an operation of the command; what is made of the mixture must not be accepted.

    Raises:
        CorruptError: a model or scores of mixed sources were stored as those of the sound ones.
        AssertionError: no message of ours, or the command does not continue when the source is there again.
    """
    _, after, _, _ = stand.undisturbed(scenario)
    stand.lay_out(scenario)
    source = stand.folder / "ft-signs" / "model.safetensors"
    running = stand.stop_at(scenario, at)
    assert running.has_stopped()
    content = source.read_bytes()
    harm(source)
    os.kill(running.process, signal.SIGCONT)
    disturbed = running.wait()
    source.write_bytes(content)
    assert not disturbed.late
    found = state_of(stand.folder)
    if disturbed.code:
        require_message(disturbed)
    for key in found.evaluations.keys() & after.evaluations.keys():
        if found.evaluations[key] != after.evaluations[key]:
            raise CorruptError("scores of another model are stored as these")
    names = [name for name in found.files if name.split("/")[0] == (scenario.output or "-")]
    if any(found.files[name] != after.files.get(name) for name in names):
        raise CorruptError("a model of mixed sources was written")
    again = stand.run(scenario, NOTHING, *(["--overwrite"] if names else []))
    assert again.code == 0, again
    end = state_of(stand.folder)
    assert {name: end.files.get(name) for name in after.files} == dict(after.files)
    assert end.facts.get("front") == after.facts.get("front")
    assert not end.temporaries, end.temporaries


def places_of_sources(stand: Stand, scenario: Scenario, count: int) -> list[int]:
    """Operations after which a source is harmed."""
    log = stand.undisturbed(scenario)[2].log
    return places(operations_of(log), ("create", "write"), count, seed=count)


def in_company(stand: Stand, one: Scenario, other: Scenario, pause: float) -> None:
    """Two commands at the same time on one folder: together they measure what they measure one after the other."""
    expected, calls = stand.one_after_the_other(one, other)
    stand.lay_out(one)
    running = [stand.server.start(list(one.arguments), stand.folder)]
    stand.wait(pause)
    running.append(stand.server.start(list(other.arguments), stand.folder))
    for each in running:
        ended = each.wait()
        assert ended.code == 0, ended
    require_equal(state_of(stand.folder), expected)
    assert calls_of(stand.folder) == calls, "evaluations were measured twice"
