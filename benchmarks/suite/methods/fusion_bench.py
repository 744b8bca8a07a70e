"""fusion_bench's own Fisher merging, with as many examples as our Fisher-weighted averaging sees.

Models travel as exported graphs, so that its environment needs none of our code: the same operations, with gradients.

What its code computes is not quite the Fisher matrix: gradients are summed over the examples of a batch, and over the
classes, before they are squared. `as published` leaves everything at its defaults (batches of 32, matrices normalised
by their length); `our damping` takes one example at a time, does not normalise, and adds what validation chose.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.suite.methods.base import Found, Method, NotHere
from benchmarks.suite.methods.classic import merged, merged_from, tuned_damping, tuned_found
from benchmarks.suite.methods.fits import fit_once
from benchmarks.suite.methods.foreign import Environment, Stored, differences
from benchmarks.suite.methods.tuning import Tuned
from benchmarks.suite.setting import Setting
from paretomerge import Averaging, FisherWeighted, FitDiagonal
from paretomerge.curvature import Curvatures
from paretomerge.curvature.examples import take_examples
from paretomerge.posteriors import Diagonal
from paretomerge.types import Ledger, Params, call_module

FUSION_BENCH = Environment("fusion_bench", "FUSION_BENCH_PYTHON")
PUBLISHED = {"batch_size": 32, "normalize": True, "minimal": 1e-6, "damping": None}
COMPARED = 200_000
"""Entries of the diagonals whose ranks are compared, at most."""


def fusion_bench_methods(smoke: bool) -> list[Method]:
    """Its defaults, and as close to ours as its options allow."""

    def published(setting: Setting) -> Found:
        return found_with(setting, Tuned({}, 0, 0.0, {}), PUBLISHED)

    def ours(setting: Setting) -> Found:
        require(setting)
        chosen = tuned_damping(setting, smoke)
        job = {"batch_size": 1, "normalize": False, "minimal": 0.0, "damping": chosen.settings["damping"]}
        return found_with(setting, chosen, job)

    factors = {"family": "diagonal", "rule": "Fisher-weighted", "implementation": "fusion_bench"}
    return [
        Method("fusion_bench: Fisher, as published", published, factors=factors),
        Method("fusion_bench: Fisher, our damping", ours, factors=factors),
    ]


def require(setting: Setting) -> None:
    """Its environment, and a setting that its code can serve.

    Raises:
        NotHere: there is none, or the model predicts more than one label per example.
    """
    _ = FUSION_BENCH.python
    if setting.problem.likelihood != "categorical":
        raise NotHere(f"its Fisher code takes one label per example, and this is {setting.problem.likelihood!r}")


def found_with(setting: Setting, chosen: Tuned, job: Mapping[str, Any]) -> Found:
    """Merges at the setting's weightings by its code, and what they and its diagonals have in common with ours."""
    require(setting)
    models = run_fusion_bench(setting, job)
    place = Path(models.folder.name)
    found = tuned_found(setting, models, chosen)
    passes = sum(min(setting.examples, setting.problem.count_examples(task, "training")) for task in setting.tasks)

    def checks() -> dict[str, Any]:
        curvatures = fit_once(setting, FitDiagonal()).curvatures
        damping = chosen.settings.get("damping", 0.0)
        ours = merged_from(setting, curvatures.posteriors(damping), FisherWeighted(), setting.weights)
        against = differences(iter(models), ours, setting.base)
        return {"against_ours": {**against, "rank_correlation": rank_correlation(place, setting, curvatures)}}

    facts = {**found.facts, **job, **json.loads((place / "facts.json").read_text(encoding="utf-8"))}
    return replace(found, cost=found.cost + Ledger(gradient_passes=passes), facts=facts, checks=checks)


def run_fusion_bench(setting: Setting, job: Mapping[str, Any]) -> Stored:
    """Merges at the setting's weightings; what no output depends on is averaged.

    Raises:
        NotHere: the model cannot be exported.
        FailureError: its code failed.
    """
    folder = TemporaryDirectory(prefix="fusion-bench-", dir=setting.folder)
    place = Path(folder.name)
    module = setting.problem.build().eval()
    for number, task in enumerate(setting.tasks):
        batches = list(split(setting, task, job["batch_size"]))
        torch.save({"params": dict(setting.finetunes[task]), "batches": batches}, place / f"task-{number}.pt")
    example = next(iter(split(setting, setting.tasks[0], 2)))
    torch.export.save(exported(module, example), place / "model.pt2")
    trainable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    rest = {"tasks": len(setting.tasks), "trainable": trainable, "weights": setting.weights.tolist()}
    (place / "job.json").write_text(json.dumps({**job, **rest}), encoding="utf-8")
    FUSION_BENCH.run("run_fusion_bench.py", str(place))

    def read(number: int) -> Params:
        found = torch.load(place / f"merged-{number}.pt", weights_only=True)
        return {**averaged(setting, setting.weights[number]), **found}

    return Stored(folder, len(setting.weights), read)


def averaged(setting: Setting, row: np.ndarray) -> Params:
    """Where its code has no say: the weighted average."""
    return next(merged(setting, Averaging(), row[None]))


def split(setting: Setting, task: str, size: int) -> Iterator[Any]:
    """The inputs that our curvature sees, in batches of at most this size."""
    for inputs, targets in take_examples(setting.problem.batches(task, "training"), setting.examples):
        for start in range(0, len(targets), size):
            rows = slice(start, start + size)
            if isinstance(inputs, Mapping):
                yield {name: tensor[rows].clone() for name, tensor in inputs.items()}
            else:
                yield inputs[rows].clone()


class Outputs(nn.Module):
    """The model with one argument, whatever its inputs are."""

    def __init__(self, model: nn.Module) -> None:
        """Around the model."""
        super().__init__()
        self.model = model

    def forward(self, inputs: Any) -> Tensor:
        """Logits."""
        return call_module(self.model, inputs)


def exported(module: nn.Module, inputs: Any) -> torch.export.ExportedProgram:
    """The model as a graph, for any number of examples (and of tokens) where it allows.

    Raises:
        NotHere: it cannot be traced.
    """
    auto = torch.export.Dim.AUTO
    if isinstance(inputs, Mapping):
        free: Any = {name: dict.fromkeys(range(min(tensor.ndim, 2)), auto) for name, tensor in inputs.items()}
    else:
        free = {0: auto}
    try:
        with torch.autocast("cpu", enabled=False):
            return torch.export.export(Outputs(module), (inputs,), dynamic_shapes=(free,))
    except Exception as error:  # whatever tracing trips over in somebody's model
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NotHere(f"the model cannot be exported to its environment: {reason}") from error


def rank_correlation(place: Path, setting: Setting, curvatures: Curvatures) -> float:
    """Spearman's correlation of its diagonals with ours, mean over tasks."""
    found = []
    for number, task in enumerate(setting.tasks):
        theirs = torch.load(place / f"fisher-{number}.pt", weights_only=True)
        bare = curvatures.bare[task]
        assert isinstance(bare, Diagonal)
        natural = {name: bare.natural(name).precision for name in theirs}
        one = torch.cat([theirs[name].flatten() for name in theirs]).numpy()
        other = torch.cat([natural[name].expand_as(theirs[name]).flatten() for name in theirs]).numpy()
        step = max(1, len(one) // COMPARED)
        found.append(float(spearmanr(one[::step], other[::step]).statistic))
    return float(np.mean(found))
