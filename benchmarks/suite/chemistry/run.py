"""Opens, checks, aligns, merges and measures; writes `chemistry.json`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.publishing import machine
from benchmarks.suite.chemistry.features import measure_features, published_fingerprint
from benchmarks.suite.chemistry.merges import COMPARED, WEIGHTS, compare_merges, ours
from benchmarks.suite.chemistry.models import BASE, FINETUNES, PACKAGE, unpacked
from benchmarks.suite.chemistry.reactions import FINGERPRINT
from benchmarks.suite.results import FOLDER, compact, rounded
from paretomerge.checkpoints import Alignment, Rename, Repairs
from paretomerge.checkpoints.atomic import write_text
from paretomerge.diagnoses import task_vector_overlaps, tasks_conflict
from paretomerge.errors import ParetomergeError
from paretomerge.stages import check_models, diagnose_run, estimate_run_front, open_study
from paretomerge.types import Params

RESULTS = FOLDER / "chemistry.json"
HELD_PRIVATE = ("bert.pooler.*",)
"""What pre-flight warns of, and nobody needs for features: each finetune has trained its own anew."""


def main(arguments: Sequence[str] | None = None) -> None:
    """From the package to the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=Path, required=True, help="folder of packages")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to write")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="chemistry-") as folder:
        found = measure(unpacked(chosen.assets, Path(folder) / "models"), Path(folder))
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    write_text(chosen.results, compact(rounded(found)) + "\n")


def measure(models: Path, folder: Path) -> dict[str, Any]:
    """Everything that can be said of the three checkpoints."""
    base = models / BASE
    paths = {task: models / name for task, name in FINETUNES.items()}
    raw = check_models(base, paths)
    advised = repairs_of(raw.alignment.repairs)
    aligned = check_models(base, paths, advised)
    careful = check_models(base, paths, replace(advised, private=(*advised.private, *HELD_PRIVATE)))
    start = in_memory(careful.repaired.base)
    tunes = {task: in_memory(tune) for task, tune in careful.repaired.finetunes.items()}
    return {
        "study": "chemistry",
        "package": PACKAGE.requirement,
        "tasks": dict(FINETUNES),
        "as they are": said(raw.alignment),
        "repairs": list(advised.arguments),
        "repaired": said(aligned.alignment),
        "own poolers": {**said(careful.alignment), "private": list(HELD_PRIVATE)},
        "signs": signs(start, tunes),
        "without data": refusals(base, paths, folder),
        "published fingerprint": fingerprint(aligned.repaired.base, aligned.repaired.finetunes, base),
        "weights": WEIGHTS.tolist(),
        "merges": compare_merges(start, tunes, folder),
        "features": measure_features(merged_models(start, tunes), ["base", *tunes], base),
        **machine(),
    }


def repairs_of(advised: Sequence[tuple[str, str]]) -> Repairs:
    """What pre-flight advises to type, as it would be typed."""
    by_option: dict[str, list[str]] = {}
    for option, value in advised:
        by_option.setdefault(option, []).append(value)
    rename = tuple(Rename.parse(value) for value in by_option.get("--rename", ()))
    return Repairs(rename, tuple(by_option.get("--skip", ())), tuple(by_option.get("--private", ())))


def said(alignment: Alignment) -> dict[str, Any]:
    """What pre-flight finds."""
    return {
        "ok": alignment.ok,
        "findings": [
            {"severity": each.severity, "kind": each.kind, "task": each.task, "message": each.message}
            for each in alignment.findings
        ],
        "distances": {each.task: each.relative_distance for each in alignment.tasks},
        "farthest": {
            each.task: {"tensor": far.tensor, "distance": far.relative_distance, "cosine": far.cosine}
            for each in alignment.tasks
            for far in each.farthest[:1]
        },
        "cosines_with_base": {each.task: each.cosine for each in alignment.tasks},
        "cosines_of_task_vectors": {" and ".join(each.tasks): each.cosine for each in alignment.cosines},
    }


def signs(base: Params, finetunes: Mapping[str, Params]) -> dict[str, Any]:
    """What `diagnose` sees in task vectors alone, and what it makes of it."""
    overlaps = task_vector_overlaps(base, finetunes)
    return {
        "overlaps": {
            " and ".join(pair): {"cosine": each.cosine, "opposed": each.opposed} for pair, each in overlaps.items()
        },
        "diagnoses": [each.as_dict() for each in tasks_conflict(tuple(finetunes), None, overlaps)],
    }


def refusals(base: Path, finetunes: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """What needs data says so: verb → its message."""
    recipe = folder / "recipe.yaml"
    tasks = {task: {"checkpoint": str(path)} for task, path in finetunes.items()}
    content = {"base": str(base), "tasks": tasks, "posterior": {"family": "diagonal"}}
    recipe.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    verbs: dict[str, Callable[[], object]] = {
        "diagnose": lambda: diagnose_run(open_study(recipe)),
        "front": lambda: estimate_run_front(open_study(recipe)),
    }
    found = {}
    for verb, run in verbs.items():
        try:
            run()
        except ParetomergeError as error:
            found[verb] = str(error).replace(f"{folder}{os.sep}", "")
    return found


def fingerprint(base: Params, finetunes: Mapping[str, Params], folder: Path) -> dict[str, float]:
    """How far the first finetune, opened and renamed here, is from what the package says of it."""
    own = finetunes[next(iter(FINETUNES))]
    first = published_fingerprint({**in_memory(base), **in_memory(own)}, folder)[: len(FINGERPRINT)]
    return {
        "numbers": len(FINGERPRINT),
        "largest_difference": max(abs(one - other) for one, other in zip(first, FINGERPRINT, strict=True)),
    }


def merged_models(base: Params, finetunes: Mapping[str, Params]) -> dict[str, Params]:
    """The base, the finetunes with the base's heads, averages at every weighting, and other rules in the middle."""
    found = {"base": base, **{task: {**base, **tune} for task, tune in finetunes.items()}}
    averaging, *others = COMPARED
    for row, model in zip(WEIGHTS, ours(averaging, base, finetunes), strict=True):
        found[f"averaging {named(row, finetunes)}"] = model
    middle = len(WEIGHTS) // 2
    for compared in others:
        model = list(ours(compared, base, finetunes))[middle]
        found[f"{compared.name} {named(WEIGHTS[middle], finetunes)}"] = model
    return found


def named(row: np.ndarray, tasks: Iterable[str]) -> str:
    """A weighting."""
    return ", ".join(f"{task} {weight:g}" for task, weight in zip(tasks, row, strict=True))


def in_memory(params: Params) -> Params:
    """Read once."""
    return {name: params[name] for name in params}
