"""Exporting a chosen point as a mergekit configuration, for every rule that mergekit has too.

    Averaging, WeightedSum              linear (normalised, or not)
    TaskArithmetic                      task_arithmetic
    Slerp                               slerp, t = the weight of the second task
    Ties                                ties
    Dare, Della, Breadcrumbs            dare_linear, dare_ties, della_linear, della, breadcrumbs, breadcrumbs_ties

Reading it back with `paretomerge.recipes.load_mergekit` gives the same rule and the same weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import yaml

from paretomerge.checkpoints.files.hub import SCHEME
from paretomerge.checkpoints.writing.writer import tool_version
from paretomerge.errors import InputError, WeightsError
from paretomerge.merging import (
    Averaging,
    Breadcrumbs,
    Dare,
    Della,
    MergeRule,
    PosteriorMerge,
    Slerp,
    TaskArithmetic,
    Ties,
    WeightedSum,
)
from paretomerge.merging.per_task import for_tasks
from paretomerge.types import require_tasks

Path = str | PathLike[str]


def mergekit_config(
    point_weights: Mapping[str, float],
    rule: MergeRule,
    base: Path,
    tasks: Mapping[str, Path],
    dtype: str | None = None,
    *,
    family: str | None = None,
) -> str:
    """The mergekit configuration (YAML) of one merged model.

    Args:
        point_weights: task → weight or coefficient, as the rule takes them.
        rule: the merge rule.
        base: the base checkpoint.
        tasks: task → finetuned checkpoint; `DIR+LORA` for an adapter on a model.
        dtype: of the merged checkpoint; mergekit then computes in float32. By default it computes and writes in the
            dtype of the inputs, which in half precision is less exact than what is merged here.
        family: the family of the posteriors, where the rule is `PosteriorMerge`; isotropic ones of equal precision
            are an average.

    Raises:
        InputError: a rule without a counterpart in mergekit, or paths it cannot read.
        WeightsError: weights that are not finite, not those of the tasks, or outside what the method takes.
    """
    require_tasks(list(point_weights), tuple(tasks))
    weights = {task: float(point_weights[task]) for task in tasks}
    for task, weight in weights.items():
        if not math.isfinite(weight):
            raise WeightsError(f"the weight of task {task!r} is {weight}: weights are finite numbers")
    paths = _paths({"the base": base, **{f"task {task!r}": path for task, path in tasks.items()}})
    finetunes = dict(zip(tasks, paths[1:], strict=True))
    content = _content(weights, rule, paths[0], finetunes, family)
    if dtype is not None:
        content["dtype"] = "float64" if dtype == "float64" else "float32"
        content["out_dtype"] = dtype
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    # Rare characters (a next-line mark in a path) survive only when they are escaped.
    text = text if yaml.safe_load(text) == content else yaml.safe_dump(content, sort_keys=False)
    return _header(weights, rule) + text


def _content(
    weights: Mapping[str, float], rule: MergeRule, base: str, tasks: Mapping[str, str], family: str | None
) -> dict[str, Any]:
    if isinstance(rule, Averaging) or (isinstance(rule, PosteriorMerge) and family == "isotropic"):
        return _linear(weights, base, tasks, normalize=True)
    if isinstance(rule, WeightedSum):
        return _linear(weights, base, tasks, normalize=False)
    if isinstance(rule, Slerp):
        return _slerp(weights, tasks)
    method, own = _method(rule)
    settings: Any = rule
    per_task = {name: for_tasks(name, getattr(settings, name), list(tasks)) for name in own}
    shared: dict[str, Any] = {"normalize": settings.normalize, "lambda": settings.scale}
    if hasattr(settings, "rescale"):
        shared["rescale"] = settings.rescale
    models = [
        {"model": path, "parameters": {"weight": weights[task], **{name: row[place] for name, row in per_task.items()}}}
        for place, (task, path) in enumerate(tasks.items())
    ]
    return {"merge_method": method, "base_model": base, "models": models, "parameters": shared}


def _method(rule: MergeRule) -> tuple[str, tuple[str, ...]]:
    """The merge method of a rule on task vectors, and its parameters per model."""
    if isinstance(rule, TaskArithmetic):
        return "task_arithmetic", ()
    if isinstance(rule, Ties):
        return "ties", ("density",)
    if isinstance(rule, Dare):
        return "dare_ties" if rule.elect_signs else "dare_linear", ("density",)
    if isinstance(rule, Della):
        return "della" if rule.elect_signs else "della_linear", ("density", "epsilon")
    if isinstance(rule, Breadcrumbs):
        return "breadcrumbs_ties" if rule.elect_signs else "breadcrumbs", ("density", "gamma")
    raise InputError(
        f"{type(rule).__name__} has no counterpart in mergekit, which knows no posteriors and no patterns of rules: "
        "export the merged checkpoint instead"
    )


def _linear(weights: Mapping[str, float], base: str, tasks: Mapping[str, str], normalize: bool) -> dict[str, Any]:
    models = [{"model": path, "parameters": {"weight": weights[task]}} for task, path in tasks.items()]
    if base not in tasks.values():
        # Without a base_model the configuration and tokenizer would come from any of the finetunes.
        models.append({"model": base, "parameters": {"weight": 0.0}})
    return {
        "merge_method": "linear",
        "base_model": base,
        "models": models,
        "parameters": {"normalize": normalize},
    }


def _slerp(weights: Mapping[str, float], tasks: Mapping[str, str]) -> dict[str, Any]:
    if len(tasks) != 2:
        raise WeightsError(f"slerp is between two tasks, got {len(tasks)}: {', '.join(tasks)}")
    first, second = tasks.values()
    return {
        "merge_method": "slerp",
        "base_model": first,  # the model at t = 0
        "models": [{"model": first}, {"model": second}],
        "parameters": {"t": list(weights.values())[1]},
    }


def _paths(given: Mapping[str, Path]) -> list[str]:
    # mergekit takes a name it does not find on the disk for one on the hub
    paths = [fspath(path).replace(SCHEME, "") for path in given.values()]
    for whose, path in zip(given, paths, strict=True):
        on_hub = fspath(given[whose]).startswith(SCHEME)
        if ("@" in path and not on_hub) or path.count("+") > 1 or not path.strip("+"):
            raise InputError(
                f"{whose} is at {path!r}: mergekit reads '@' as a revision and '+' as an adapter: rename the folder"
            )
    for path in paths[1:]:
        if paths[1:].count(path) > 1:
            raise InputError(f"two tasks have the checkpoint {path}: mergekit takes each model once")
    return paths


def _header(weights: Mapping[str, float], rule: MergeRule) -> str:
    lines = [
        f"One merged model, chosen with paretomerge {tool_version()}; merge it with  mergekit-yaml THIS_FILE OUT",
        # task names are quoted as JSON where they would break the line
        "weights: " + ", ".join(f"{_plain(task)}={weight:.6g}" for task, weight in weights.items()),
    ]
    if hasattr(rule, "seed"):
        lines.append("Elements are dropped at random: mergekit draws others than paretomerge does.")
    return "".join(f"# {line}\n" for line in lines)


def _plain(task: str) -> str:
    return task if task.isprintable() else json.dumps(task)
