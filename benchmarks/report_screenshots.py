"""Real reports of two, three and six tasks, and pictures of them for the documentation.

    python -m benchmarks.report_screenshots --out DIR               # trains what is missing: minutes on two cores
    python -m benchmarks.report_screenshots --out DIR --pages-only  # only writes the pages and pictures anew

The tasks are scikit-learn's digits in up to six ways to look at them, one shared head, as in the demo: a weak base is
finetuned once per way, twelve to thirty merges are measured, three weightings are verified by joint finetuning.
Pictures go to `docs/assets/report-{2,3,6}-tasks.png` and `report-3-tasks-dark.png`; they need chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paretomerge.checkpoints import write_params
from paretomerge.choices import Knee
from paretomerge.demo.digits import BATCH_SIZE, _images
from paretomerge.demo.trainings import FINETUNING, PRETRAINING, load
from paretomerge.demo.vit import SmallViT
from paretomerge.recipes import parse_recipe
from paretomerge.stages import open_study, report_run, run
from paretomerge.training import finetune
from paretomerge.types import Batch, Problem, Split

ASSETS = Path(__file__).parents[1] / "docs" / "assets"
WAYS = {
    "upright": lambda images: images,
    "rotated": lambda images: torch.rot90(images, 1, (1, 2)),
    "mirrored": lambda images: images.flip(2),
    "reversed": lambda images: torch.rot90(images, 2, (1, 2)),
    "transposed": lambda images: images.transpose(1, 2),
    "negative": lambda images: -images,
}
EVALUATIONS = {2: 12, 3: 15, 6: 30}
HEIGHT = {2: 1380, 3: 1700, 6: 2050}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Train, merge, verify, report; then take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", type=int, nargs="+", choices=sorted(EVALUATIONS), default=sorted(EVALUATIONS))
    parser.add_argument("--pages-only", action="store_true")
    parser.add_argument("--assets", type=Path, default=ASSETS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    assets = chosen.assets.resolve()
    chosen.out.mkdir(parents=True, exist_ok=True)
    os.chdir(chosen.out)  # the commands in the pages name the run, not the machine's folders
    for count in chosen.tasks:
        folder = Path(f"{count}-tasks")
        page = report_run(open_study(folder)).page if chosen.pages_only else reported(folder, count)
        photograph(page, assets / f"report-{count}-tasks.png", HEIGHT[count])
        if count == 3:
            photograph(page, assets / f"report-{count}-tasks-dark.png", HEIGHT[count], dark=True)


def reported(folder: Path, count: int) -> Path:
    """The page of a run over the first `count` ways, trained and measured as far as that is missing."""
    tasks = tuple(WAYS)[:count]
    checkpoints = folder.parent / "checkpoints" / str(count)
    train_all(checkpoints, tasks)
    recipe = parse_recipe(
        {
            "base": str(checkpoints / "base"),
            "tasks": {task: {"checkpoint": str(checkpoints / task), "data": task} for task in tasks},
            "problem": f"{Path(__file__).resolve()}:digits",
            "posterior": {"settings": {"examples": 200}},
            "front": {"evaluations": EVALUATIONS[count]},
            "training": {
                "steps": FINETUNING.steps,
                "examples_per_task": FINETUNING.examples_per_task,
                "learning_rate": FINETUNING.learning_rate,
            },
        },
        "the pictures",
    )
    run(recipe, folder, choice=Knee(), verify=3, progress=lambda message: print(message, file=sys.stderr))
    return report_run(open_study(folder)).page


def train_all(folder: Path, tasks: tuple[str, ...]) -> None:
    """A weak base that has seen a few images in all ways, and a finetune per way."""
    if not (folder / "base").exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            start = SmallViT().state_dict()
        few = Problem(tasks, SmallViT, lambda task, split: batches("pretraining", task))
        found = finetune(few, start, dict.fromkeys(tasks, 1 / len(tasks)), PRETRAINING, 0)
        write_params(folder / "base", found.params, manifest={"kind": "pretrained"})
    problem = digits(dict.fromkeys(tasks, ""))
    for task in tasks:
        if not (folder / task).exists():
            found = finetune(
                problem, load(folder / "base"), {other: float(other == task) for other in tasks}, FINETUNING, 1
            )
            write_params(folder / task, found.params, manifest={"kind": "finetuned"})
            print(f"{folder.name} tasks: {task} trained", file=sys.stderr)


def digits(options: Mapping[str, str]) -> Problem:
    """The problem of the recipe: one task per way."""
    return Problem(tuple(options), SmallViT, lambda task, split: batches(split, task))


@cache
def batches(part: Split | str, task: str) -> list[Batch]:
    """The images of a part as one task sees them."""
    images, labels = _images(0)[part]
    turned: Tensor = WAYS[task](images).contiguous()
    return list(zip(turned.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True))


def photograph(page: Path, target: Path, height: int, dark: bool = False) -> None:
    """The top of a page, as wide as a laptop's window."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no chromium here: {target.name} is not taken", file=sys.stderr)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=3000",
        "--force-device-scale-factor=1", f"--window-size=1300,{height}", f"--screenshot={target.resolve()}",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []), page.resolve().as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    shrink(target)


def shrink(target: Path) -> None:
    """A third of the bytes: the 256 commonest colours, exactly, and of all others the nearest of these."""
    pixels = np.asarray(Image.open(target).convert("RGB"))
    colours, places, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True)
    palette = colours[np.argsort(-counts, kind="stable")[:256]]
    nearest = [((palette.astype(int) - colour) ** 2).sum(axis=1).argmin() for colour in colours]
    picture = Image.fromarray(np.array(nearest, dtype=np.uint8)[places].reshape(pixels.shape[:2]), "P")
    picture.putpalette(palette.ravel().tolist())
    picture.save(target, optimize=True)


if __name__ == "__main__":
    main()
