"""`plan`: what a recipe will take on a cluster, from headers, counts and this run's journal; nothing is computed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import DataError, InputError, ParetomergeError
from paretomerge.fronts.methods import Informed
from paretomerge.planning import (
    EXAMPLES,
    Cluster,
    Measured,
    ModelSize,
    Passes,
    Plan,
    Search,
    Workload,
    example_cluster,
    plan_workload,
    trace_passes,
)
from paretomerge.planning.sizes import passes_of_size
from paretomerge.planning.tracing import on_meta, positions_of, spread
from paretomerge.posteriors import group_names
from paretomerge.recipes import Recipe, load_recipe, method
from paretomerge.recipes.yaml_files import read_yaml
from paretomerge.runs import RunFolder
from paretomerge.stages.planning.machine import measure_machine
from paretomerge.stages.problems import load_problem
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.training import TrainingRecipe
from paretomerge.types import Problem, Split

HERE = "here"


def plan(
    recipe_or_run: str | os.PathLike[str] | Recipe | Study,
    cluster: Cluster | str | os.PathLike[str] = HERE,
    *,
    evaluations: int | None = None,
    workers: int | None = None,
    verified: int = 3,
    tokens: float | None = None,
    progress: Progress = silent,
) -> Plan:
    """What every stage of a run will take: seconds, memory, disk and money.

    Headers of checkpoints and the examples are read; the model goes over a few batches without values. What a journal
    has measured of this run is used instead, on this machine. Nothing is written.

    Args:
        recipe_or_run: a recipe file, the folder of a run, a `Recipe`, or an opened study.
        cluster: a `Cluster`, `"here"` (this machine is measured, some seconds), the name of an example, or a YAML file.
        evaluations: a budget of the front other than the recipe's.
        workers: processes that measure merged models, other than the recipe's.
        verified: joint finetunings of `verify`.
        tokens: positions per example, where examples cannot be seen.
        progress: called with short messages.

    Raises:
        RecipeError, CheckpointError: as `open_study`.
        InputError: a cluster that cannot be read, or numbers that make no sense.
    """
    if verified < 0 or (evaluations is not None and evaluations < 0) or (workers is not None and workers < 1):
        raise InputError("plan: evaluations and verified count from 0, workers from 1")
    study = recipe_or_run if isinstance(recipe_or_run, Study) else _opened(recipe_or_run)
    progress("counting what the model does")
    load = workload_of(study, tokens=tokens)
    if not isinstance(cluster, Cluster):
        progress("measuring this machine" if os.fspath(cluster) == HERE else "reading the cluster")
        cluster = cluster_of(cluster, study.folder.path)
    search = load.search
    search = replace(
        search,
        evaluations=search.evaluations if evaluations is None else evaluations,
        workers=search.workers if workers is None else workers,
    )
    measured = load.measured if cluster.measured else Measured()
    return plan_workload(replace(load, search=search, verified=verified, measured=measured), cluster)


def cluster_of(named: str | os.PathLike[str], folder: Path | None = None) -> Cluster:
    """The cluster of a name or a file; `here` is measured.

    Raises:
        InputError: no such file or name, no YAML, or what `Cluster.parse` refuses.
        StorageError: `here`, where the disk refused.
    """
    text = os.fspath(named)
    if text == HERE:
        there = folder if folder is not None and folder.is_dir() else None
        return Cluster(measure_machine(there), measured=True)
    path = Path(text)
    if text in EXAMPLES or not path.exists():
        return example_cluster(text)
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the cluster {path}: {error}") from error
    return Cluster.parse(content, str(path))


def workload_of(study: Study, *, tokens: float | None = None) -> Workload:
    """What a recipe asks for, in numbers.

    Args:
        study: the recipe, opened.
        tokens: positions per example, where the examples cannot be seen.

    Raises:
        RecipeError: an unknown method or setting.
    """
    recipe, size = study.recipe, ModelSize.of(study.base)
    fit = None if recipe.posterior.files else method("posterior", recipe.posterior.family, recipe.posterior.settings)
    rule = method("rule", recipe.rule.name, recipe.rule.settings)
    splits: dict[str, Split] = {
        "fit": recipe.posterior.split,
        "front": recipe.front.split,
        "training": "training",
        "validation": "validation",
        "test": "test",
    }
    counts = {} if study.problem is None else {what: _examples(study, split) for what, split in splits.items()}
    names = [name for name, spec in size.specs.items() if spec.is_mergeable]
    training = TrainingRecipe.of(recipe.training.model_dump())
    return Workload(
        size=size,
        tasks=len(study.tasks),
        fit=fit,
        groups=len(group_names(names, getattr(fit, "groups", "model"))),
        examples=counts,
        passes=_passes(study, size, tokens),
        reads_posteriors=type(rule).__name__ in ("PosteriorMerge", "FisherWeighted", "MixtureMerge"),
        search=_search(study),
        training=training,
        own_pace=bool(recipe.evaluators),
        measured=_measured(study),
    )


def _opened(recipe_or_run: str | os.PathLike[str] | Recipe) -> Study:
    """A study that leaves no trace: no run folder is made."""
    if isinstance(recipe_or_run, Recipe):
        recipe, folder = recipe_or_run, RunFolder(Path("."))
    else:
        path = Path(recipe_or_run)
        folder = RunFolder(path).require() if path.is_dir() else RunFolder(path.with_name(path.stem + "-run"))
        recipe = load_recipe(folder.recipe if path.is_dir() else path)
    base = open_checkpoint(recipe.base)
    try:
        problem = load_problem(recipe, base)
    except DataError:
        problem = None  # examples that are elsewhere: sizes are known all the same
    return Study(recipe, folder, base, {}, problem)


def _search(study: Study) -> Search:
    section = study.recipe.front
    found = method("front", section.method, section.settings)
    dimension = len(study.tasks) - 1 if section.domain == "weights" else len(study.tasks)
    first = min(dimension + 2, 10)
    if isinstance(found, Informed):
        first = found.initial or first
    batch = getattr(found, "batch", None) or section.workers
    return Search(section.evaluations, max(1, first), max(1, int(batch)), section.workers, section.asynchronous)


def _examples(study: Study, split: Split) -> float:
    assert study.problem is not None
    found = []
    for task in study.tasks:
        try:
            found.append(study.problem.count_examples(task, split))
        except ParetomergeError:
            continue
    return sum(found) / len(study.tasks) if found else 0.0


def _passes(study: Study, size: ModelSize, tokens: float | None) -> Passes | None:
    """Of one example: counted, or from sizes where the model or the examples cannot be had."""
    problem = study.problem
    if problem is not None:
        batches = _batches(problem, study.tasks, study.recipe.posterior.split)
        if batches:
            try:
                counted = trace_passes(on_meta(problem.build), batches, [len(targets) for _, targets in batches])
                if counted.forward.flops or counted.forward.traffic:
                    return counted
            except Exception:  # a module that needs values: whatever its author wrote may raise
                pass
            inputs, targets = batches[0]
            seen = positions_of(inputs)
            return passes_of_size(size, tokens or seen / max(1, len(targets)), batch=float(len(targets)))
    return None if tokens is None else passes_of_size(size, tokens)


def _batches(problem: Problem, tasks: Sequence[str], split: Split) -> list[Any]:
    found: list[Any] = []
    for task in tasks:
        try:
            found += spread(list(problem.batches(task, split)), 3)
        except ParetomergeError:
            continue
    return found


def _measured(study: Study) -> Measured:
    """What the journal of this run has timed."""
    if not study.folder.is_run:
        return Measured()
    with study.folder.open_journal() as journal:
        charges = journal.charges()
    fits = [cost for stage, cost in charges if stage == "fit" and cost.seconds]
    scored = [c for stage, c in charges if stage in ("front", "test") and c.evaluations and not c.gradient_passes]
    trained = [cost for _, cost in charges if cost.trainings == 1 and cost.gradient_passes and cost.seconds]
    workers = study.recipe.front.workers
    return Measured(
        fits[-1].seconds if fits else None,
        workers * sum(c.seconds for c in scored) / sum(c.evaluations for c in scored) if scored else None,
        sum(c.seconds for c in trained) / len(trained) if trained else None,
    )
