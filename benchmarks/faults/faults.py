"""Table of faults: by kind and command how many were injected, survived, and what they cost.

    python -m benchmarks.faults.faults --each 4

Every fault is followed by the same command again, whose end is compared with that of a run that nothing disturbed:
tensors, scores and costs. A fault is survived when they are equal. The harness is that of `tests/faults`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tests.faults.plans import plan
from tests.faults.running import Fault, Server
from tests.faults.scenarios import SCENARIOS, CorruptError, LostError, Scenario, Stand
from tests.faults.trials import (
    HARMS,
    change_source,
    faults_in_time,
    faults_of_clocks,
    faults_of_limits,
    faults_of_reading,
    in_company,
    places_of_sources,
    power_fails_after,
)
from tests.tiny import TASKS, make_folder

from benchmarks.publishing import machine
from paretomerge.checkpoints.atomic import write_text

RESULTS = Path(__file__).parents[1] / "results" / "faults" / "faults.json"
COMMANDS = [name for name in SCENARIOS if name != "front with workers"]
READS_SOURCES = ("merge", "merge twice", "fit", "front", "finetune", "verify", "export")
IN_COMPANY = (("fit", "fit"), ("front", "front"), ("front", "finetune"))

Trial = Callable[[], int]
"""Injects a fault, checks what it left, continues; returns how many calls of the evaluator were repeated."""


@dataclass
class Row:
    """A cell of the table.

    Attributes:
        kind: of the faults.
        command: that they hit.
        injected: how many.
        survived: how many were followed by an equal end.
        repeated: models whose scores were in flight, and were measured again.
        lost: faults after which something stored was gone.
        corrupted: faults after which something half-written, or of another model, was accepted.
        seconds: of all trials, with the commands that continue.
    """

    kind: str
    command: str
    injected: int = 0
    survived: int = 0
    repeated: float = 0.0
    lost: int = 0
    corrupted: int = 0
    seconds: float = 0.0


def measure(out: Path, each: int, commands: Sequence[str], minutes: float) -> None:
    """Inject, and write the table after every row; what took longer than `minutes` is left out."""
    rows: list[Row] = []
    reasons: list[str] = []
    deadline = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as scratch, Server(Path(scratch)) as server:
        stand = Stand(server, make_folder(Path(scratch) / "tiny"), Path(scratch))
        for kind, command, trials in _trials(stand, each, commands):
            if time.monotonic() > deadline:
                break
            row = Row(kind, command)
            for trial in trials:
                _count(row, trial, reasons)
            rows.append(row)
            print(f"{row.command}: {row.kind}: {row.survived} of {row.injected} survived", flush=True)
            found = {**machine(), "each": each, "rows": [asdict(row) for row in rows], "reasons": reasons}
            write_text(out, json.dumps(found, indent=1) + "\n")


def _count(row: Row, trial: Trial, reasons: list[str]) -> None:
    started = time.monotonic()
    row.injected += 1
    try:
        row.repeated += trial() / len(TASKS)
        row.survived += 1
    except AssertionError as error:
        row.lost += isinstance(error, LostError)
        row.corrupted += isinstance(error, CorruptError)
        reasons.append(f"{row.command}: {row.kind}: {str(error)[:300]}")
    row.seconds = round(row.seconds + time.monotonic() - started, 1)


def _trials(stand: Stand, each: int, commands: Sequence[str]) -> Iterator[tuple[str, str, list[Trial]]]:
    for number, name in enumerate(commands):
        scenario = SCENARIOS[name]
        ended = stand.undisturbed(scenario)[2]
        faults = list(plan(ended.log, each, seed=number))
        faults += faults_in_time(ended.seconds, each, number)
        faults += faults_of_reading(ended.reads, each, number)
        faults += faults_of_limits()
        faults += faults_of_clocks()
        for kind in dict.fromkeys(fault.kind for fault in faults):
            yield kind, name, [partial(_survive, stand, scenario, fault) for fault in faults if fault.kind == kind]
        yield "power failure after the end", name, [partial(_after, stand, scenario)]
        if name in READS_SOURCES:
            places = places_of_sources(stand, scenario, max(1, each // 2))
            for harm in HARMS:
                trials: list[Trial] = [partial(_harm, stand, scenario, at, harm) for at in places]
                yield f"source: {harm.__name__.replace('_', ' ')}", name, trials
    for one, other in IN_COMPANY:
        if one in commands and other in commands:
            pair = [Scenario(f"fresh {name}", SCENARIOS[name].arguments) for name in (one, other)]
            pauses = [0.1 * number for number in range(max(1, each // 2))]
            yield "two processes", f"{one}, {other}", [partial(_together, stand, *pair, pause) for pause in pauses]


def _survive(stand: Stand, scenario: Scenario, fault: Fault) -> int:
    stand.lay_out(scenario)
    return stand.require_survival(scenario, fault, stand.run(scenario, fault))


def _after(stand: Stand, scenario: Scenario) -> int:
    power_fails_after(stand, scenario)
    return 0


def _harm(stand: Stand, scenario: Scenario, at: int, harm: Callable[[Path], None]) -> int:
    change_source(stand, scenario, at, harm)
    return 0


def _together(stand: Stand, one: Scenario, other: Scenario, pause: float) -> int:
    in_company(stand, one, other, pause)
    return 0


def table(results: dict[str, object] | None) -> str:
    """By kind, over all commands, as Markdown."""
    if results is None:
        return "_Not measured yet._"
    rows = [Row(**row) for row in results["rows"]]  # type: ignore[attr-defined]
    lines = [
        "| fault | commands | injected | survived | evaluations lost | corrupted outputs accepted |",
        "|---|---|---|---|---|---|",
    ]
    kinds = list(dict.fromkeys(row.kind for row in rows))
    for kind in [*kinds, "all"]:
        own = [row for row in rows if kind in (row.kind, "all")]
        told = [len({row.command for row in own})]
        told += [sum(getattr(row, name) for row in own) for name in ("injected", "survived", "lost", "corrupted")]
        lines.append(f"| {kind} | " + " | ".join(str(number) for number in told) + " |")
    return "\n".join(lines)


def main() -> None:
    """As in the docstring of the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=4, help="faults of every kind for every command")
    parser.add_argument("--commands", default=",".join(COMMANDS))
    parser.add_argument("--minutes", type=float, default=240.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    measure(given.out, given.each, given.commands.split(","), given.minutes)
    print(table(json.loads(given.out.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
