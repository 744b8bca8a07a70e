"""An evaluator in any language: a program that reads a model's folder and prints its scores as JSON.

    {python} evaluate.py {model_dir} --task {task} --split {split}

`{python}` is the interpreter that paretomerge runs in; a bare `python` is whatever the shell finds.

With `{task}` (or the variable `PARETOMERGE_TASK`) in the command it is called once per task and prints that task's
scores: `{"acc": [1, 0, 1]}`, `{"acc": 0.91, "acc_stderr": 0.01}`, a list, or one number. Without it one call serves
all tasks, and prints them by task: `{"movie": {"acc": 0.91}, "tweets": {"acc": 0.84}}`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.files.json_keys import unique_keys
from paretomerge.errors import EvaluationError, InputError, StorageError
from paretomerge.evaluation.programs import ProgramError, run_program
from paretomerge.types import Params, Split, spec_of
from paretomerge.types.params import digest_params

PYTHON = "{python}"
TASK_VARIABLE = "PARETOMERGE_TASK"
LARGE = 4_000_000_000
"""Bytes of a model above which it is said that each evaluation writes it."""


@dataclass(frozen=True, eq=False)
class CommandEvaluator:
    """`(params, task) → scores` by a program of the user's own.

    A model is written once, however many tasks it is scored on, into a temporary folder (`TMPDIR` says where) that is
    removed when the next model comes. The program runs without a shell, without input, and as a group of processes of
    its own, which ends with it: also after a timeout or an interrupt. It finds `PARETOMERGE_MODEL_DIR`,
    `PARETOMERGE_TASK` (where it is called per task) and `PARETOMERGE_SPLIT` among its variables.

    Its scores are the whole of its standard output, or the last line of it that is a JSON object. What ends with
    another exit status than 0 is tried again `retries` times; a timeout, or output that is no JSON, is not.

    Args:
        command: program and arguments, in which `{model_dir}`, `{task}`, `{split}` and `{python}` are filled in.
        write: `(params, folder)`: writes a model.
        split: what `{split}` stands for.
        timeout: seconds that a call may take.
        retries: how often a call that failed is tried again.
        folder: where it runs; the present folder when `None`.

    Raises:
        InputError: no command, a program that is not there, or a timeout or retries that are no number of them.
    """

    command: Sequence[str]
    write: Callable[[Params, Path], object]
    split: Split = "test"
    timeout: float = 3600.0
    retries: int = 1
    folder: Path | None = None
    _held: _Held = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look for the program."""
        object.__setattr__(self, "command", tuple(word.replace(PYTHON, sys.executable) for word in self.command))
        object.__setattr__(self, "_held", _Held())
        require_program(self.command, self.folder)
        if not self.timeout > 0 or self.retries < 0:
            raise InputError(
                f"command: a timeout above 0 and retries of at least 0, not {self.timeout}, {self.retries}"
            )

    @property
    def is_per_task(self) -> bool:
        """Whether the program is called once per task."""
        return any("{task}" in word or TASK_VARIABLE in word for word in self.command)

    def __call__(self, params: Params, task: str) -> Any:
        """Score one model on one task.

        Raises:
            EvaluationError: the program failed, took too long, or printed no scores of this task.
            StorageError: the disk refused, or has no room for the model.
        """
        digest = digest_params(params)
        if self._held.digest != digest:
            self._held.clear()
            self._held.folder = self._written(params)
            self._held.digest = digest
        if self.is_per_task:
            return self._run(task)
        if self._held.answer is None:
            self._held.answer = self._run(None)
        return _of_task(self._held.answer, task)

    def close(self) -> None:
        """Remove the model that was written last."""
        self._held.clear()

    def _written(self, params: Params) -> tempfile.TemporaryDirectory[str]:
        size = sum(spec_of(params, name).nbytes for name in params)
        with storage_errors(Path(tempfile.gettempdir()), "write"):
            parent = tempfile.TemporaryDirectory(prefix="paretomerge-model-", ignore_cleanup_errors=True)
        free = shutil.disk_usage(parent.name).free
        if free < size:
            parent.cleanup()
            raise StorageError(
                f"an evaluator's command reads models from {tempfile.gettempdir()}, where {free / 1e9:.1f} GB are free "
                f"and the model takes {size / 1e9:.1f} GB: set TMPDIR to a folder with more room"
            )
        if size > LARGE:
            warnings.warn(
                f"every evaluation writes {size / 1e9:.1f} GB below {tempfile.gettempdir()} for the evaluator's "
                "command (TMPDIR says where)",
                stacklevel=2,
            )
        try:
            self.write(params, Path(parent.name) / "model")
        except BaseException:
            parent.cleanup()
            raise
        return parent

    def _run(self, task: str | None) -> Any:
        assert self._held.folder is not None
        model = str(Path(self._held.folder.name) / "model")
        places = {"{model_dir}": model, "{split}": self.split} | ({} if task is None else {"{task}": task})
        words = [_filled(word, places) for word in self.command]
        variables = {"PARETOMERGE_MODEL_DIR": model, "PARETOMERGE_SPLIT": self.split}
        if task is not None:
            variables[TASK_VARIABLE] = task
        for attempt in range(self.retries + 1):
            try:
                output = run_program(words, variables, self.timeout, self.folder)
            except ProgramError as error:
                if attempt == self.retries or not error.may_pass:
                    times = f" ({attempt + 1} times)" if attempt else ""
                    raise EvaluationError(f"the evaluator's command failed{times}: {error}") from error
            else:
                return _parsed(output, words, per_task=task is not None)
        raise AssertionError


def require_program(command: Sequence[str], folder: Path | None = None) -> str:
    """Where the program of a command is.

    Raises:
        InputError: no command, or no such program.
    """
    if not command or not command[0]:
        raise InputError("an evaluator's command has no program")
    program = command[0]
    # As the system does: names with a separator are paths, seen from the folder in which it runs.
    named = (folder or Path()) / program if "/" in program else program
    found = shutil.which(str(named))
    if found is None:
        raise InputError(
            f"the evaluator's command starts with {program!r}, which is no program on this machine"
            + (f" (seen from {folder})" if folder is not None and "/" in program else "")
            + ": install it, or write its path"
        )
    return found


@dataclass(eq=False)
class _Held:
    """The model that was written last, and what one call for all tasks said of it."""

    digest: str = ""
    folder: tempfile.TemporaryDirectory[str] | None = None
    answer: Any = None

    def clear(self) -> None:
        if self.folder is not None:
            self.folder.cleanup()
        self.digest, self.folder, self.answer = "", None, None


def _filled(word: str, places: Mapping[str, str]) -> str:
    """Only the known places: braces are common in programs of one line. What is filled in is not looked at again."""
    for place, text in places.items():
        before, found, after = word.partition(place)
        if found:
            return _filled(before, places) + text + _filled(after, places)
    return word


def _parsed(output: str, words: Sequence[str], *, per_task: bool) -> Any:
    """The whole output as JSON, or the last line of it that is a JSON object."""
    try:
        return json.loads(output, object_pairs_hook=unique_keys)
    except (ValueError, RecursionError):
        pass
    for line in reversed(output.splitlines()):
        try:
            found = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    example = '{"accuracy": [1, 0, 1]}' if per_task else '{"task": {"accuracy": [1, 0, 1]}}'
    raise EvaluationError(
        f"the evaluator's command {words[0]!r} printed no JSON: its standard output must be, or end with a line such "
        f"as {example}; it was {output.strip()[-300:]!r}"
    )


def _of_task(answer: Any, task: str) -> Any:
    if not isinstance(answer, dict):
        raise EvaluationError(
            f"the evaluator's command has no {{task}}, so it must print the scores of all tasks by task, such as "
            f'{{"{task}": {{"accuracy": 0.9}}}}; it printed {answer!r:.80}'
        )
    if task not in answer:
        raise EvaluationError(
            f"the evaluator's command printed scores of {', '.join(map(repr, answer)) or 'nothing'}, and none of the "
            f"task {task!r}: it has no {{task}}, so one call must print the scores of all tasks"
        )
    return answer[task]
