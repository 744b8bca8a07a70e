"""The program of mergekit for plain state dicts, `mergekit-pytorch`, with the settings that our own rules chose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.torch import save_file

from benchmarks.suite.methods.base import Found, Method
from benchmarks.suite.methods.classic import (
    AVERAGING,
    DARE,
    TASK_ARITHMETIC,
    TIES,
    ClassicRule,
    merged,
    tuned_found,
    tuned_rule,
)
from benchmarks.suite.methods.foreign import Environment, Stored, differences
from benchmarks.suite.methods.tuning import Settings
from benchmarks.suite.setting import Setting
from paretomerge import open_checkpoint
from paretomerge.types import Params

MERGEKIT = Environment("mergekit", "MERGEKIT_PYTHON")


@dataclass(frozen=True)
class TheirRule:
    """The same rule as it is called there.

    Args:
        ours: the rule whose settings are taken.
        method: `merge_method`.
        normalize: as our rule does it by default.
        is_drawn: whether results are random, and so differ by more than rounding.
    """

    ours: ClassicRule
    method: str
    normalize: bool
    is_drawn: bool = False


RULES = (
    TheirRule(AVERAGING, "linear", True),
    TheirRule(TASK_ARITHMETIC, "task_arithmetic", False),
    TheirRule(TIES, "ties", True),
    TheirRule(DARE, "dare_linear", False, is_drawn=True),
)


def mergekit_methods(smoke: bool) -> list[Method]:
    """Averaging, task arithmetic, TIES and DARE."""
    return [_method(rule, smoke) for rule in RULES]


def _method(rule: TheirRule, smoke: bool) -> Method:
    def find(setting: Setting) -> Found:
        _ = MERGEKIT.python  # before anything is tuned for nothing
        chosen = tuned_rule(setting, rule.ours, smoke)
        models, version = run_mergekit(setting, rule, chosen.settings)
        found = tuned_found(setting, models, chosen)

        def ours(seed: int) -> Iterator[Params]:
            return merged(setting, rule.ours.make(chosen.settings, seed), setting.weights)

        def checks() -> dict[str, Any]:
            known = {"against_ours": differences(iter(models), ours(setting.seed), setting.base)}
            if rule.is_drawn:
                known["ours_against_another_draw"] = differences(
                    ours(setting.seed + 1), ours(setting.seed), setting.base
                )
            return known

        facts = {**found.facts, "merge_method": rule.method, "versions": {"mergekit": version}}
        return replace(found, facts=facts, checks=checks)

    factors = {"family": "none", "rule": rule.ours.name, "implementation": "mergekit"}
    return Method(f"mergekit: {rule.ours.name}", find, factors=factors)


def run_mergekit(setting: Setting, rule: TheirRule, chosen: Settings) -> tuple[Stored, str]:
    """Merges at the setting's weightings; and mergekit's version. Raises as `merge_by_mergekit`."""
    return merge_by_mergekit(
        setting.base, setting.finetunes, rule, chosen, setting.weights, folder=setting.folder, seed=setting.seed
    )


def merge_by_mergekit(
    base: Params,
    finetunes: Mapping[str, Params],
    rule: TheirRule,
    chosen: Settings,
    weights: np.ndarray,
    *,
    folder: Path,
    seed: int = 0,
) -> tuple[Stored, str]:
    """Merges at weightings `[K, T]`, what no finetune has and what is no float from the base; and mergekit's version.

    Raises:
        NotHere: mergekit is not installed.
        FailureError: it failed.
    """
    temporary = TemporaryDirectory(prefix="mergekit-", dir=folder)
    place = Path(temporary.name)
    tasks = {f"task-{number}": params for number, params in enumerate(finetunes.values())}
    names = [name for name in base if base[name].is_floating_point() and all(name in own for own in tasks.values())]
    for model, params in {"base": base, **tasks}.items():
        save_file({name: params[name].contiguous() for name in names}, place / f"{model}.safetensors")
    configs = []
    for number, row in enumerate(weights):
        configs.append(str(place / f"{number}.yml"))
        Path(configs[-1]).write_text(json.dumps(configuration(place, rule, chosen, row)), encoding="utf-8")
    version = MERGEKIT.run("run_mergekit.py", str(seed), *configs)

    def read(number: int) -> Params:
        found = open_checkpoint(f"{configs[number]}-out")
        merged = {name: found[name].to(base[name].dtype) for name in names}
        return {name: merged.get(name, base[name]) for name in base}

    return Stored(temporary, len(configs), read), version


def configuration(place: Path, rule: TheirRule, chosen: Settings, row: np.ndarray) -> dict[str, Any]:
    """One merge, as mergekit reads it; JSON is YAML."""
    shared: dict[str, Any] = {"normalize": rule.normalize}
    if "scale" in chosen:
        shared["lambda"] = chosen["scale"]
    density = {"density": chosen["density"]} if "density" in chosen else {}
    models = [
        {"model": str(place / f"task-{number}.safetensors"), "parameters": {"weight": float(weight), **density}}
        for number, weight in enumerate(row)
    ]
    base = {} if rule.method == "linear" else {"base_model": str(place / "base.safetensors")}
    return {"merge_method": rule.method, **base, "dtype": "float32", "parameters": shared, "models": models}
