"""The commands that faults are injected into, the folders they start in, and what must hold after each fault."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.running import NOTHING, Ended, Fault, Mode, Running, Server
from tests.faults.state import State, calls_of, require_readable, state_of
from tests.tiny import TASKS, copy_folder, logged_recipe, recipe_of, write_recipe

from paretomerge.errors import ParetomergeError

FINETUNES = [part for task in TASKS for part in ("--task", f"{task}=ft-{task}")]
WEIGHTS = "sums=0.5,signs=0.3,swaps=0.2"
OTHERS = "sums=0.2,signs=0.3,swaps=0.5"
TRAINING = {"steps": 12, "examples_per_task": 8, "learning_rate": 0.01, "save_every": 4}


class LostError(AssertionError):
    """Something that was stored is gone."""


class CorruptError(AssertionError):
    """Something half-written, or of another model, was accepted."""


@dataclass(frozen=True)
class Scenario:
    """A command.

    Args:
        name: for people.
        arguments: of the command line.
        before: commands that came before, all undisturbed.
        output: what it writes beside the run folder; where that is complete, the same command says so, and writes it
            again with `--overwrite`.
        kinds: the posteriors that it rests on.
    """

    name: str
    arguments: tuple[str, ...]
    before: tuple[tuple[str, ...], ...] = ()
    output: str = ""
    recipe: str = "logged"


FIT = ("fit", "recipe.yaml")
FRONT = ("front", "recipe.yaml")
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("fit", FIT, recipe="layers"),
        Scenario("merge", ("merge", "merged", "--base", "base", *FINETUNES, "--weights", WEIGHTS,
                           "--max-shard-size", "100"), output="merged"),
        Scenario("merge twice", ("merge", "merged", "--base", "base", *FINETUNES, "--weights", WEIGHTS,
                                 "--weights", OTHERS), output="merged"),
        Scenario("merge over", ("merge", "merged", "--base", "base", *FINETUNES, "--weights", WEIGHTS, "--overwrite"),
                 (("merge", "merged", "--base", "base", *FINETUNES, "--weights", OTHERS),)),
        Scenario("front", FRONT, (FIT,)),
        Scenario("front with workers", FRONT, (FIT,), recipe="workers"),
        Scenario("finetune", ("finetune", "recipe.yaml", "joint", "--weights", WEIGHTS), output="joint"),
        Scenario("verify", ("verify", "recipe.yaml", "--points", "1"), (FIT, FRONT)),
        Scenario("choose", ("choose", "recipe-run", "--knee"), (FIT, FRONT)),
        Scenario("export", ("export", "recipe-run", "exported", "--point", "0"), (FIT, FRONT), output="exported"),
        Scenario("report", ("report", "recipe-run"), (FIT, FRONT)),
    )
}  # fmt: skip


class Stand:
    """Where commands are tried: templates of folders, what undisturbed commands do in them, and one folder to break.

    Every try happens under the same path, so that everything that is written can be compared byte by byte.
    """

    def __init__(self, server: Server, tiny: Path, scratch: Path) -> None:
        """Nothing was run yet."""
        self.server, self._tiny, self._scratch = server, tiny, scratch
        self.folder = scratch / "try" / "study"
        self._templates: dict[tuple[object, ...], Path] = {}
        self._pairs: dict[tuple[str, str], tuple[State, Counter[str]]] = {}
        self._undisturbed: dict[str, tuple[State, State, Ended, int]] = {}

    def lay_out(self, scenario: Scenario) -> None:
        """The folder as the command finds it."""
        self._place(self._template(scenario.recipe, scenario.before))

    def undisturbed(self, scenario: Scenario) -> tuple[State, State, Ended, int]:
        """What is there before and after the command, how it ended, and how often the evaluator was called."""
        if scenario.name not in self._undisturbed:
            self.lay_out(scenario)
            before = state_of(self.folder)
            ended = self.run(scenario)
            assert ended.code == 0, ended
            after = state_of(self.folder)
            self._undisturbed[scenario.name] = (before, after, ended, sum(calls_of(self.folder).values()))
        return self._undisturbed[scenario.name]

    def run(self, scenario: Scenario, fault: Fault = NOTHING, *more: str) -> Ended:
        """The command, in the folder."""
        return self.server.run([*scenario.arguments, *more], self.folder, fault)

    def one_after_the_other(self, one: Scenario, other: Scenario) -> tuple[State, Counter[str]]:
        """What two commands leave that do not meet, and how often the evaluator was called for which task."""
        pair = (one.name, other.name)
        if pair not in self._pairs:
            self.lay_out(one)
            for scenario in (one, other):
                ended = self.run(scenario)
                assert ended.code == 0, ended
            self._pairs[pair] = state_of(self.folder), calls_of(self.folder)
        return self._pairs[pair]

    @staticmethod
    def wait(seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def stop_at(self, scenario: Scenario, operation: int) -> Running:
        """The command, standing still after an operation."""
        fault = Fault("stop", Mode.SIGNAL, operation, int(signal.SIGSTOP))
        return self.server.start(list(scenario.arguments), self.folder, fault)

    def require_survival(self, scenario: Scenario, fault: Fault, ended: Ended) -> int:
        """Check what a fault left, continue, and check the end; how many calls of the evaluator were repeated.

        Raises:
            LostError: something stored is gone.
            CorruptError: something half-written was accepted.
            AssertionError: anything else that was promised.
        """
        before, after, _, calls = self.undisturbed(scenario)
        assert not ended.late, f"{fault}: the command hangs"
        self._require_intact(before, after)
        left = state_of(self.folder)
        if ended.code not in (0, 130) and ended.code > 0:
            require_message(ended)
        again = self._continue(scenario)
        assert again.code == 0, f"{fault}: the same command does not continue: {again.code} {again.err}"
        end = state_of(self.folder)
        if not left.evaluations.items() <= end.evaluations.items():
            raise LostError("an evaluation that was stored is gone")
        self.require_readable()
        # That a temporary folder was removed is not forced to the disk.
        require_equal(end, after, tidy=not fault.names)
        # What was in flight is scored again, and nothing else: a model on all its tasks.
        repeated = sum(calls_of(self.folder).values()) - calls
        assert repeated <= len(TASKS), f"{fault}: {repeated} calls of the evaluator were repeated"
        return repeated

    def _continue(self, scenario: Scenario) -> Ended:
        """The same command again; a complete output is not made a second time unless asked for."""
        again = self.run(scenario)
        if again.code == 2 and scenario.output and "exists" in again.err:
            _, after, *_ = self.undisturbed(scenario)
            names = [name for name in after.files if name.startswith(scenario.output)]
            found = state_of(self.folder).files
            assert all(found.get(name) == after.files[name] for name in names), "an incomplete output stands in the way"
            return self.run(scenario, NOTHING, "--overwrite")
        return again

    def _require_intact(self, before: State, after: State) -> None:
        """Nothing that was stored is lost, nothing half-written has a final name."""
        self.require_readable()
        found = state_of(self.folder)
        for name, digest in found.files.items():
            if digest not in (before.files.get(name), after.files.get(name)):
                raise CorruptError(f"{name} is neither what it was nor what it is to be")
        aside = any(".replaced" in left for left in found.temporaries)
        gone = [name for name in before.files if name not in found.files]
        if gone and not aside:
            raise LostError(f"{gone[0]} is gone")
        for key, scores in before.evaluations.items():
            if found.evaluations.get(key) != scores:
                raise LostError("an evaluation is gone")
        for key, scores in found.evaluations.items():
            if after.evaluations.get(key) != scores:
                raise CorruptError("an evaluation differs from that of the undisturbed run")

    def require_readable(self) -> None:
        """Everything opens; raises `CorruptError`."""
        try:
            require_readable(self.folder)
        except (AssertionError, ParetomergeError) as error:
            raise CorruptError(str(error)) from error

    def _template(self, recipe: str, commands: tuple[tuple[str, ...], ...]) -> Path:
        key = (recipe, *commands)
        if key not in self._templates:
            if commands:
                self._place(self._template(recipe, commands[:-1]))
                ended = self.server.run(list(commands[-1]), self.folder)
                assert ended.code == 0, ended
            else:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.parent.mkdir(exist_ok=True)
                copy_folder(self._tiny, self.folder)
                write_recipe(self.folder, RECIPES[recipe]())
            target = self._scratch / f"template-{len(self._templates)}"
            shutil.copytree(self.folder, target)
            self._templates[key] = target
        return self._templates[key]

    def _place(self, template: Path) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(template, self.folder)


def require_equal(found: State, expected: State, tidy: bool = True) -> None:
    """The state of a disturbed and continued command, and that of an undisturbed one; `tidy`: nothing is left over."""
    assert dict(found.files) == dict(expected.files), _differing(found.files, expected.files)
    assert found.evaluations == expected.evaluations, _differing(found.evaluations, expected.evaluations)
    assert found.facts == expected.facts, _differing(found.facts, expected.facts)
    assert found.costs == expected.costs, (found.costs, expected.costs)
    assert not (tidy and found.temporaries), f"left behind: {found.temporaries}"
    assert found.pieces == expected.pieces, f"left behind: {found.pieces}"


def require_message(ended: Ended) -> None:
    """A failure is one of our errors: its message, and no traceback of anybody's."""
    assert "error: " in ended.err, ended
    assert "error: unexpected" not in ended.err, ended.err
    assert "Traceback" not in ended.err, ended.err
    assert ended.code in (1, 2), ended


def _differing(found: object, expected: object) -> str:
    assert isinstance(found, dict)
    assert isinstance(expected, dict)
    names = sorted(name for name in {**found, **expected} if found.get(name) != expected.get(name))
    shown = [f"{name}: {str(found.get(name))[:300]} instead of {str(expected.get(name))[:300]}" for name in names[:4]]
    return f"{len(names)} differ: " + "; ".join(shown)


def _layers() -> dict[str, object]:
    posterior = {"family": "subspace", "settings": {"groups": "layer"}, "damping": "validation",
                 "dampings": [0.01, 0.1]}  # fmt: skip
    return recipe_of(posterior=posterior, training=TRAINING)


RECIPES: dict[str, Callable[[], dict[str, object]]] = {
    "logged": lambda: logged_recipe(training=TRAINING),
    "workers": lambda: logged_recipe(training=TRAINING, front={"evaluations": 6, "points": 15, "workers": 2}),
    "layers": _layers,
}
