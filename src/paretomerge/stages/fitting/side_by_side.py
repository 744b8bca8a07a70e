"""Posteriors of several tasks fitted side by side, where the family fits each task by itself.

What a worker measures is stored like the finished pieces of an interrupted fit, so that the fit that follows finds
everything, and a killed one loses only what was in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from paretomerge.curvature import FitMethod, Piece, PieceStore, fit_piece
from paretomerge.curvature.pieces import piece_key
from paretomerge.distributed import Executor, Share
from paretomerge.stages.scoring.models import Progress
from paretomerge.stages.sent import RunByPath, SentRun, explained, run_for
from paretomerge.stages.study import Study
from paretomerge.types import Split


@dataclass(frozen=True, eq=False)
class TaskFit:
    """Opens a run in a worker, which then fits one task after the other."""

    run: RunByPath | SentRun
    method: FitMethod
    split: Split
    seed: int

    def shared(self, share: Share) -> TaskFit:
        """The same, with the checkpoints in the object store."""
        return replace(self, run=self.run.shared(share)) if isinstance(self.run, SentRun) else self

    def __call__(self) -> Callable[[str], tuple[str, Piece]]:
        """What the worker does with each task."""
        with explained(self.run.folder):
            opened = self.run.opened()
            problem = opened.require_problem(f"a {self.method.family} posterior")
        return lambda task: fit_piece(problem, opened.finetunes, self.method, task, self.split, self.seed)


def fit_side_by_side(
    study: Study, store: PieceStore, method: FitMethod, split: Split, executor: Executor, progress: Progress
) -> None:
    """Measure what `store` lacks, one task per worker.

    Raises:
        ParetomergeError: what the first task that could not be fitted failed with; what others measured is stored.
    """
    waiting = [task for number, task in enumerate(study.tasks) if store.get(piece_key(number, task)) is None]
    if len(waiting) < 2:
        return
    setup = TaskFit(run_for(executor, study, finetunes=True), method, split, study.recipe.seed)
    workers, left = executor.open(setup), len(waiting)
    try:
        while left:
            while waiting and workers.free:
                progress(f"{method.family} curvature of {waiting[0]}")
                workers.start(waiting.pop(0))
            outcome = workers.next()
            if outcome is None:
                continue
            if outcome.error is not None:
                raise outcome.error
            assert outcome.result is not None
            store.put(*outcome.result)
            left -= 1
    finally:
        workers.close()
