"""scikit-learn's digits upright, rotated and mirrored: three tasks that conflict under one shared head, a small ViT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.suite.setting import Definition, Setting, load
from paretomerge.demo.digits import TASKS, digits_problem
from paretomerge.demo.trainings import FINETUNING, grid, pretrain


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """The demo's tasks, base and trainings, three seeds of the joint grid."""
    problem = digits_problem({TASKS[0]: f"seed={seed}"})
    pretrain(folder / "base", seed)
    return Setting(
        "digits-conflict",
        seed,
        folder,
        problem,
        load(folder / "base"),
        replace(FINETUNING, steps=4) if smoke else FINETUNING,
        grid()[:2] if smoke else grid(),
        repeated=1 if smoke else len(grid()),
        repeats=2 if smoke else 3,
        examples=20 if smoke else 200,
        first_seed=10 * seed + 1,
    )


DEFINITION = Definition(
    "digits-conflict",
    build,
    (0, 1, 2, 3, 4),
    ("classic", "posteriors", "anchored", "routes", "mixtures", "steps", "ablations", "searches", "peers"),
    "digits upright, rotated by 90° and mirrored; one head, a ViT of 58 thousand parameters",
)
