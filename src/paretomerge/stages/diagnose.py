"""`diagnose`: look for signs that the previews of a run will fail, before money is spent on them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from paretomerge.curvature import average
from paretomerge.diagnoses import (
    Diagnosis,
    barriers_between,
    barriers_of,
    gravest_first,
    path_weights,
    task_vector_overlaps,
    tasks_conflict,
    transfers_of,
)
from paretomerge.errors import InputError
from paretomerge.recipes import digest_recipe
from paretomerge.runs import evaluation_key
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.free_diagnoses import free_diagnoses, keep_diagnoses
from paretomerge.stages.front import estimate_run_front, traded_objectives
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.measuring.merged import score_merged
from paretomerge.stages.scoring.models import Progress, score_models, silent
from paretomerge.stages.study import Study
from paretomerge.types import Front, Objective, Params, Scores, to_minimised


def diagnose_run(study: Study, *, barriers: bool = True, progress: Progress = silent) -> tuple[Diagnosis, ...]:
    """Every sign that speaks against the previews of a run, gravest first; remembered as the run's diagnoses.

    What the front rests on is looked at without measuring anything; the front is estimated first where there is none.
    With `barriers` the base, every finetune and the average of every pair are scored on the front's split:
    `1 + T + T (T - 1) / 2` evaluations, once.

    Args:
        study: the run.
        barriers: whether these may be measured: they tell of barriers, of what tasks do to each other, and of what
            losses can lose. Without, these are predicted or left out.
        progress: called with short messages.

    Raises:
        InputError: a run of a single task.
        ParetomergeError: as `estimate_run_front`; what a checkpoint's evaluation failed with.
    """
    if len(study.tasks) < 2:
        raise InputError("a run of a single task has nothing to merge, and nothing to diagnose: give two tasks or more")
    fitted = fit_run(study, progress)
    landscape = landscape_of(fitted)
    front, scores = _front_and_scores(study, landscape, progress)
    if not barriers:
        found = free_diagnoses(fitted, landscape, front, scores)
        keep_diagnoses(study, found)
        return found
    paths = score_paths(study, progress)
    progress("overlap of task vectors")
    stakes = _stakes(study, paths)
    free = free_diagnoses(fitted, landscape, front, scores, stakes)
    found = gravest_first(
        [
            *(each for each in free if each.signature != "conflict"),
            *_conflicts(study, paths),
            *barriers_between(barriers_of(paths.take(range(1, len(paths))))),
        ]
    )
    keep_diagnoses(study, found, measured=True, stakes=stakes)
    return found


def score_paths(study: Study, progress: Progress = silent) -> Scores:
    """Scores of the base, of every finetune, and of the plain average of every pair of them, through the journal.

    Rows are in this order (see `diagnoses.path_weights`), with zero weights for the base; columns are what the front
    trades off, and the losses. Keys are those of the checkpoints, so that no change of the recipe measures them again
    unless it changes the split, the data or the evaluator.
    """
    split, names = study.recipe.front.split, list(study.finetunes)
    digests = [study.digests[name] for name in names]
    models = [[study.digests["base"]], *([digest] for digest in digests), *map(list, combinations(digests, 2))]
    evaluator = study.evaluator_digest(split)
    keys = [evaluation_key(average=model, split=split, evaluator=evaluator) for model in models]
    members: list[tuple[Params, ...]] = [(study.base,), *((study.finetunes[name],) for name in names)]
    members += [tuple(study.finetunes[name] for name in pair) for pair in combinations(names, 2)]

    def build(rows: list[int]) -> Iterator[Params]:
        for row in rows:
            chosen = members[row]
            yield chosen[0] if len(chosen) == 1 else average({str(i): each for i, each in enumerate(chosen)})

    weights = np.vstack([np.zeros(len(names)), path_weights(len(names))])
    objectives = _objectives(study)
    with study.folder.open_journal() as journal:
        return score_models(
            journal,
            "diagnose",
            keys,
            weights,
            build,
            study.evaluator(split),
            objectives,
            study.tasks,
            "merged",
            progress,
        )


def _front_and_scores(study: Study, landscape: Landscape, progress: Progress) -> tuple[Front, Scores]:
    """The run's front and what it rests on, with the errors that the scores share; both estimated where missing."""
    with study.folder.open_journal() as journal:
        front, scores = journal.fact("front"), journal.fact("scores")
    if front is None or front.get("recipe") != digest_recipe(study.recipe):
        estimated = estimate_run_front(study, progress)
        return estimated.front, estimated.scores
    known = Scores.from_dict(scores)
    if study.recipe.front.racing or not len(known):
        return Front.from_dict(front), known  # what a race left unfinished is not scored to the end for this
    split = study.recipe.front.split
    return Front.from_dict(front), score_merged(
        study, landscape, known.weights, split, "front", progress, known.objectives
    )


def _objectives(study: Study) -> tuple[Objective, ...]:
    """What the front trades off, and the losses."""
    traded = traded_objectives(study)
    return tuple(o for o in study.objectives if o.task in study.tasks and (o in traded or o.metric == "loss"))


def _by_task(study: Study, paths: Scores, metric: str | None = None) -> np.ndarray | None:
    """`[N, T]`, one score of each task, minimised: its loss, or what else was measured; `None` where one has none."""
    columns = []
    for task in study.tasks:
        own = [c for c, objective in enumerate(paths.objectives) if objective.task == task]
        losses = [c for c in own if paths.objectives[c].metric == "loss"]
        if not (losses or (own and metric is None)):
            return None
        columns.append((losses or own)[0])
    return to_minimised(paths.values, paths.objectives)[:, columns]


def _stakes(study: Study, paths: Scores) -> list[float] | None:
    """What each loss can lose: base minus finetune."""
    losses = _by_task(study, paths, "loss")
    if losses is None:
        return None
    return [float(losses[0, t] - losses[1 + t, t]) for t in range(len(study.tasks))]


def _conflicts(study: Study, paths: Scores) -> tuple[Diagnosis, ...]:
    values, count = _by_task(study, paths), len(study.tasks)
    transfers = None if values is None else transfers_of(values[1 : 1 + count], list(values[0]))
    overlaps = task_vector_overlaps(study.base, study.finetunes)
    return tasks_conflict(study.tasks, transfers, overlaps, measured=True)
