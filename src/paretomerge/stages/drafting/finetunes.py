"""Folders that somebody finetuned into: where the model is, what the task is called, what kind of model it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from paretomerge.checkpoints import Checkpoint
from paretomerge.checkpoints.adapters.config import CONFIG as ADAPTER
from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.folders import WEIGHT_FILES
from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import CheckpointError, InputError

Kind = Literal["sequence_classification", "causal_lm", "image_classification"]

STEP = re.compile(r"checkpoint-(\d+)")
"""How the Trainer of transformers calls the folders of its checkpoints."""

STATE = "trainer_state.json"

UNSAYING = ("model", "models", "final", "best", "output", "outputs", "checkpoint", "checkpoints", "adapter", "last")
"""Names of folders that say nothing about the task."""

_ENDINGS: dict[str, Kind] = {
    "ForSequenceClassification": "sequence_classification",
    "ForCausalLM": "causal_lm",
    "LMHeadModel": "causal_lm",
    "ForImageClassification": "image_classification",
}
_ADAPTED: dict[str, Kind] = {"SEQ_CLS": "sequence_classification", "CAUSAL_LM": "causal_lm"}


@dataclass(frozen=True, eq=False)
class Finetune:
    """One finetuned model.

    Args:
        task: what it was finetuned on.
        path: the folder with the weights.
        given: what the user named; the folder itself, or the one with the Trainer's checkpoints.
        config: `config.json`, empty where there is none.
        adapter: `adapter_config.json`, empty for whole models.
        state: `trainer_state.json` of the Trainer, empty where there is none.
        notes: what was found out on the way and should be said.
    """

    task: str
    path: Path
    given: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    adapter: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """Which problem from files it can be; `None` where its architecture has none."""
        return kind_of(self.config) or _ADAPTED.get(str(self.adapter.get("task_type")))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of a classifier's outputs in their order; empty where it has none of its own."""
        names = self.config.get("id2label") or {}
        found = tuple(str(names[number]) for number in sorted(names, key=int))
        return () if all(name == f"LABEL_{number}" for number, name in enumerate(found)) else found


def kind_of(config: Mapping[str, Any]) -> Kind | None:
    """The problem that an architecture's head is made for."""
    for name in config.get("architectures") or []:
        for ending, kind in _ENDINGS.items():
            if str(name).endswith(ending):
                return kind
    return None


def config_of(base: Checkpoint) -> dict[str, Any]:
    """`config.json` beside a checkpoint; empty where there is none."""
    if base.source is None:
        return {}
    return _read((base.source if base.source.is_dir() else base.source.parent) / "config.json")


def find_finetunes(paths: Sequence[str], named: Mapping[str, str]) -> dict[str, Finetune]:
    """Task → finetune: `named` under their names, `paths` under those that their folders give them.

    Raises:
        CheckpointError: a folder without a model.
        InputError: two finetunes of one task, or none at all.
    """
    if not paths and not named:
        raise InputError("no finetunes: name their folders after the base, or give --task NAME=DIR for each")
    given = {path: user_path(path) for path in paths}
    names = name_tasks([path.absolute() for path in given.values()])
    pairs = [
        *zip(names, given.values(), strict=True),
        *((task, user_path(path)) for task, path in named.items()),
    ]
    found: dict[str, Finetune] = {}
    for task, path in pairs:
        if task in found:
            raise InputError(
                f"two finetunes are called {task!r}, {found[task].given} and {path}: name them with --task NAME=DIR"
            )
        found[task] = open_finetune(task, path)
    return found


def open_finetune(task: str, given: Path) -> Finetune:
    """The model in a folder, or in the newest of the Trainer's checkpoints below it.

    Raises:
        CheckpointError: there is none.
    """
    path, notes = _with_weights(given)
    newest = _steps(given)[-1:] or [path]
    state = _read(path / STATE) or _read(newest[0] / STATE)
    best = Path(str(state.get("best_model_checkpoint") or "")).name
    if path != given and STEP.fullmatch(best) and best != path.name and (given / best).is_dir():
        notes += (
            f"the Trainer found {best} better than {path.name}: give {given / best} if that is the model you mean",
        )
    folder = path if path.is_dir() else path.parent
    return Finetune(task, path, given, _read(folder / "config.json"), _read(folder / ADAPTER), state, notes)


def name_tasks(paths: Sequence[Path]) -> list[str]:
    """What finetunes are called after their folders: the last part of the paths in which all of them differ.

    What names have in common at either end is left out, word by word.

    >>> name_tasks([Path("/runs/minilm-movie/final"), Path("/runs/minilm-tweets/final")])
    ['movie', 'tweets']
    """
    bare = [_bare(path) for path in paths]
    if not bare:
        return []
    for depth in range(1, min(len(parts) for parts in bare) + 1):
        names = [parts[-depth] for parts in bare]
        if len({name.lower() for name in names}) == len(names):
            return [_safe(name) for name in _without_common(names)]
    return [_safe("-".join(parts[-2:])) for parts in bare]


def _bare(path: Path) -> tuple[str, ...]:
    """The parts of a path up to the last one that says something."""
    parts = path.parts[1:] if path.is_absolute() else path.parts
    kept = list(parts)
    while len(kept) > 1 and (STEP.fullmatch(kept[-1]) or kept[-1].lower() in UNSAYING):
        kept.pop()
    return tuple(kept) or ("task",)


def _without_common(names: Sequence[str]) -> list[str]:
    """Names without the words that all of them begin and end with."""
    words = [re.split(r"[-_. ]+", name) for name in names]
    if len(words) < 2:
        return list(names)
    for _ in range(2):
        while all(len(each) > 1 for each in words) and len({each[0].lower() for each in words}) == 1:
            words = [each[1:] for each in words]
        words = [each[::-1] for each in words]
    short = ["-".join(each) for each in words]
    cut = any(len(each) < len(re.split(r"[-_. ]+", name)) for each, name in zip(words, names, strict=True))
    return short if cut and all(short) and not any(name.isdigit() for name in short) else list(names)


def _safe(name: str) -> str:
    """A name that needs no quotes in a shell, and none in `a=0.6,b=0.4`."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "task"


def _with_weights(given: Path) -> tuple[Path, tuple[str, ...]]:
    if not given.is_dir():
        if given.is_file():
            return given, ()
        raise CheckpointError(f"{given}: there is no such folder")
    if _holds_model(given):
        return given, ()
    steps = [step for step in _steps(given) if _holds_model(step)]
    if steps:
        return steps[-1], (f"{given} holds no model itself: {steps[-1].name}, the newest of its checkpoints, is taken",)
    below = sorted(path for path in given.iterdir() if path.is_dir() and (_holds_model(path) or _steps(path)))
    remedy = (
        f"it holds folders of models ({', '.join(path.name for path in below[:4])}): name those"
        if below
        else f"expected {WEIGHT_FILES[0]}, {ADAPTER}, or checkpoint-N folders of a Trainer in it"
    )
    raise CheckpointError(f"{given}: there is no model in this folder: {remedy}")


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (*WEIGHT_FILES, ADAPTER))


def _steps(folder: Path) -> list[Path]:
    """The Trainer's checkpoints in a folder, the newest last."""
    if not folder.is_dir():
        return []
    found = [
        (int(match[1]), path) for path in folder.iterdir() if (match := STEP.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(found)]


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, empty where there is none; a broken one is reported by those who need it."""
    if not path.is_file():
        return {}
    with storage_errors(path, "read"):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            return {}
    return found if isinstance(found, dict) else {}
