"""A study small enough to fit, merge, train and verify within seconds, on disk like a user's own.

Three classifications of the same inputs whose labels conflict, a perceptron of 51 parameters, a pretrained base and
three finetunes; and an evaluator that logs its calls and breaks on demand.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import yaml

from paretomerge.checkpoints import open_checkpoint, write_params
from paretomerge.cli import main
from paretomerge.training import TrainingRecipe, finetune

TASKS = ("sums", "signs", "swaps")
TRAINING = {"steps": 25, "examples_per_task": 16, "learning_rate": 0.01}
EVALUATIONS = 6

PROBLEM = """
import torch
from torch import nn

from paretomerge.types import Problem

TASKS = ("sums", "signs", "swaps")
SIZES = {"training": 48, "validation": 32, "test": 40}


def build():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def data(task, split):
    number = TASKS.index(task)
    generator = torch.Generator().manual_seed(100 * number + len(split))
    inputs = torch.randn(SIZES[split], 4, generator=generator)
    directions = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, -0.5, 0]])
    labels = ((inputs @ directions).argmax(1) + number) % 3
    return list(zip(inputs.split(20), labels.split(20)))


def problem():
    return Problem(TASKS, build, data)


def with_words(words):
    assert set(words) <= set(TASKS), words
    return problem()


def raises():
    raise FileNotFoundError("no such corpus")


def returns_text():
    return "a problem"


def knows_one_task():
    return Problem(("sums",), build, data)


def is_empty():
    return Problem(TASKS, build, lambda task, split: [] if split == "validation" else data(task, split))
"""

EVALUATOR = """
import importlib.util
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
CALLS, CONTROL = HERE / "calls.log", HERE / "control.txt"
specification = importlib.util.spec_from_file_location("tiny_problem_of_evaluator", HERE / "problem.py")
problem = importlib.util.module_from_spec(specification)
specification.loader.exec_module(problem)


def score(params, task):
    calls = len(CALLS.read_text().splitlines()) if CALLS.exists() else 0
    how, number = CONTROL.read_text().split() if CONTROL.exists() else ("slow", "0")
    if how == "raise" and calls >= int(number):
        raise RuntimeError("the GPU fell off the bus")
    if how == "interrupt" and calls >= int(number):
        raise KeyboardInterrupt
    if how == "slow":
        time.sleep(float(number))
    model = problem.build()
    model.load_state_dict({name: params[name] for name in params})
    losses = [
        torch.nn.functional.cross_entropy(model(inputs), labels, reduction="none")
        for inputs, labels in problem.data(task, "validation")
    ]
    with CALLS.open("a") as handle:
        handle.write(f"{task}\\n")
    losses = torch.cat(losses).detach()
    if how == "nan":
        losses[3] = float("nan")
    if how == "matrix":
        losses = losses[:, None].expand(-1, 2)
    if how == "none":
        return None
    if how == "metrics":
        return {"f1": losses}
    if how == "nothing":
        return losses[:0]
    return losses
"""


def recipe_of(**changes: Any) -> dict[str, Any]:
    """The recipe as a mapping; keyword arguments replace whole sections."""
    return {
        "base": "base",
        "tasks": {task: {"checkpoint": f"ft-{task}"} for task in TASKS},
        "problem": "problem.py:problem",
        "posterior": {
            "family": "subspace",
            "settings": {"groups": "layer"},
            "damping": "validation",
            "dampings": [0.01, 0.1],
        },
        "front": {"evaluations": EVALUATIONS, "points": 15},
        "training": TRAINING,
        **changes,
    }


def logged_recipe(**changes: Any) -> dict[str, Any]:
    """The same with the evaluator that logs its calls."""
    objectives = [{"name": f"loss of {task}", "task": task, "metric": "", "bounds": [0.0, None]} for task in TASKS]
    posterior = {"family": "subspace", "settings": {"groups": "model"}, "damping": 0.1}
    return recipe_of(evaluator="evaluator.py:score", objectives=objectives, posterior=posterior, **changes)


def write_recipe(folder: Path, content: dict[str, Any], name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def make_folder(folder: Path) -> Path:
    """Problem, evaluator, base, finetunes and recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "problem.py").write_text(PROBLEM, encoding="utf-8")
    (folder / "evaluator.py").write_text(EVALUATOR, encoding="utf-8")
    write_recipe(folder, recipe_of())
    problem = import_problem(folder).problem()
    recipe = TrainingRecipe(**TRAINING)
    torch.manual_seed(0)
    start = problem.build().state_dict()
    base = finetune(problem, start, dict.fromkeys(TASKS, 1 / 3), recipe).params
    write_params(folder / "base", base)
    for task in TASKS:
        alpha = {other: float(other == task) for other in TASKS}
        write_params(folder / f"ft-{task}", finetune(problem, base, alpha, recipe, seed=1).params)
    return folder


def copy_folder(source: Path, target: Path, **changes: Any) -> Path:
    """A copy without runs, with another recipe if there are changes."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*-run", "calls.log", "control.txt", "__pycache__"))
    if changes:
        write_recipe(target, recipe_of(**changes))
    return target


def import_problem(folder: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location("tiny_problem", folder / "problem.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def read_params(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = open_checkpoint(folder)
    return {name: checkpoint[name] for name in checkpoint}


@dataclass(frozen=True)
class Answer:
    """What the command line answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def invoke(*arguments: Any) -> Answer:
    """The command line, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Answer(code, out.getvalue(), err.getvalue())


def plain(content: Any) -> Any:
    """What is left of Python values on their way through JSON."""
    return json.loads(json.dumps(content))


def start_cli(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    """The command line as a process of its own."""
    # Whoever started the tests in the background has interrupts ignored, and children inherit that.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{listen}; import sys; from paretomerge.cli import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def calls_in(folder: Path) -> int:
    """How often the logging evaluator was called."""
    log = folder / "calls.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}
