"""A run as a worker gets it: by its folder on this machine, or sent to another one that need not have the folder.

What is sent are the recipe and, through the object store, parameters. What the recipe names beside checkpoints (files
of functions, examples, programs, the base's folder where its tokenizer is needed) must be at the same path there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from paretomerge.checkpoints import Checkpoint
from paretomerge.checkpoints.checkpoint import MemoryTensors
from paretomerge.distributed import Executor, Ray, Share, attached
from paretomerge.errors import ParetomergeError, RecipeError
from paretomerge.exports import complete_side_files
from paretomerge.recipes import Recipe
from paretomerge.runs import RunFolder
from paretomerge.stages.opened import Opened
from paretomerge.stages.problems import load_problem
from paretomerge.stages.study import Study, open_study
from paretomerge.types import Params


@dataclass(frozen=True)
class RunByPath:
    """A run that a process of this machine opens by itself."""

    folder: Path

    def opened(self) -> Opened:
        """Recipe, checkpoints and problem."""
        return open_study(self.folder)


@dataclass(frozen=True, eq=False)
class SentCheckpoint:
    """The tensors of a checkpoint, and what `Checkpoint` knows of itself."""

    params: Params
    source: Path | None
    side_files: tuple[Path, ...]
    is_adapter: bool
    address: str | None

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> SentCheckpoint:
        """All of it."""
        return cls(checkpoint, checkpoint.source, checkpoint.side_files, checkpoint.is_adapter, checkpoint.address)

    def opened(self) -> Checkpoint:
        """The checkpoint, in memory."""
        held = MemoryTensors(dict(attached(self.params)))
        return Checkpoint((held,), self.source, self.side_files, self.is_adapter, self.address)


@dataclass(frozen=True, eq=False)
class SentRun:
    """A run for a worker of a cluster.

    Args:
        recipe: with absolute paths.
        folder: of the run; it need not exist where the worker is.
        base: with the side files that finetunes have and the base lacks.
        finetunes: task → checkpoint, where they are needed.
    """

    recipe: Recipe
    folder: Path
    base: SentCheckpoint
    finetunes: Mapping[str, SentCheckpoint] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, *, finetunes: bool = False) -> SentRun:
        """The recipe and the base; the finetunes too if they are needed."""
        files, _ = complete_side_files(study.base, study.finetunes)
        sent = {task: SentCheckpoint.of(tune) for task, tune in study.finetunes.items()} if finetunes else {}
        return cls(study.recipe, study.folder.path, replace(SentCheckpoint.of(study.base), side_files=files), sent)

    def shared(self, share: Share) -> SentRun:
        """The same, with its parameters in the object store."""
        tunes = {task: replace(tune, params=share(tune.params)) for task, tune in self.finetunes.items()}
        return replace(self, base=replace(self.base, params=share(self.base.params)), finetunes=tunes)

    def opened(self) -> Opened:
        """Recipe, checkpoints and problem.

        Raises:
            RecipeError, DataError, CheckpointError: what the recipe names is not there.
        """
        base = self.base.opened()
        tunes = {task: tune.opened() for task, tune in self.finetunes.items()}
        return Opened(self.recipe, RunFolder(self.folder), base, tunes, load_problem(self.recipe, base))


def run_for(executor: Executor, study: Study, *, finetunes: bool = False) -> RunByPath | SentRun:
    """What the workers of an executor get of a run."""
    return (
        SentRun.of(study, finetunes=finetunes) if isinstance(executor, Ray) else RunByPath(study.folder.path.absolute())
    )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """An error of a worker that cannot open what the recipe names says where, and what every node must have."""
    try:
        yield
    except ParetomergeError as error:
        raise RecipeError(
            f"a worker on {socket.gethostname()} cannot open what the recipe of {folder.name} names: {error}. Files of "
            "functions, examples, programs, and the base's folder where its tokenizer is needed, must be at the same "
            "path on every node"
        ) from error
