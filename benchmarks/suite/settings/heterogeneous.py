"""Five text tasks with heads of their own, of different numbers of classes, losses and sizes: MAP's setting of many
unlike tasks, on MiniLM.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.assets.texts import Labelled, election, languages, mails, reuters
from benchmarks.sentiment_example import fetch, load_texts
from benchmarks.suite.setting import Definition, Setting, kept
from benchmarks.suite.settings.text_heads import heads_problem, probed_heads
from benchmarks.suite.settings.text_splits import Divided, divide
from paretomerge import TrainingRecipe

LOCALES = ("cs", "da", "de", "es", "et", "fi", "fr", "hr", "hu", "it", "lt", "lv", "nb", "nl", "pl", "pt", "ro", "sk")
LOCALES += ("sv", "tr")
TRAINING = {"movie": 1950, "reuters": 2000, "spam": 800, "election": 500, "language": 2500}
"""Texts, in the order of tasks; gradients of all of them are part of a fit."""
HELD_OUT = {"test": 200, "validation": 80}
SMOKE = {"test": 6, "validation": 6, "training": 24}
RECIPE = TrainingRecipe(
    160, examples_per_task=5, learning_rate=4e-5, warmup=0.06, mix="proportional", precision="bfloat16"
)
TENTHS = ((2, 2, 2, 2, 2), (6, 1, 1, 1, 1), (1, 6, 1, 1, 1), (1, 1, 6, 1, 1), (1, 1, 1, 6, 1), (1, 1, 1, 1, 6))


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Sentiment of reviews, topics of news, spam, authors of tweets, languages; two seeds of the joint grid."""
    model, _ = fetch(assets)
    classes, texts = load_tasks(assets, seed, smoke)
    problem = heads_problem(model, classes, texts)
    weights = np.array(TENTHS) / 10
    return Setting(
        "heterogeneous",
        seed,
        folder,
        problem,
        kept(folder / "base", lambda: probed_heads(problem, classes)),
        replace(RECIPE, steps=2, examples_per_task=1) if smoke else RECIPE,
        weights[:2] if smoke else weights,
        repeated=1 if smoke else 4,
        examples=4 if smoke else 60,
        bfloat16=True,
        first_seed=10 * seed,
        facts={"tasks": described(classes, texts)},
    )


def load_tasks(assets: Path, seed: int, smoke: bool = False) -> tuple[dict[str, int], dict[str, dict[str, Divided]]]:
    """Task → number of classes; task → split → texts."""
    _, sdist = fetch(assets)
    movie = load_texts(sdist, 20240 + seed)["movie"]
    texts = {"movie": {split: Divided(found.texts, tuple(found.labels.tolist())) for split, found in movie.items()}}
    classes = {"movie": 2}
    others: dict[str, Labelled] = {
        "reuters": reuters(assets),
        "spam": mails(assets),
        "election": election(assets),
        "language": languages(assets, LOCALES),
    }
    for number, (task, found) in enumerate(others.items()):
        texts[task] = divide(found, {**HELD_OUT, "training": TRAINING[task]}, [20240 + seed, number])
        classes[task] = len(found.classes)
    for task, splits in texts.items():
        sizes = SMOKE if smoke else {**HELD_OUT, "training": TRAINING[task]}
        texts[task] = {split: splits[split].first(size) for split, size in sizes.items()}
    return classes, texts


def described(classes: dict[str, int], texts: dict[str, dict[str, Divided]]) -> dict[str, Any]:
    """Classes, sizes, and how often the most frequent class is right."""
    found = {}
    for task, splits in texts.items():
        labels = splits["test"].labels
        found[task] = {
            "classes": classes[task],
            **{split: len(divided.labels) for split, divided in splits.items()},
            "majority": Counter(labels).most_common(1)[0][1] / len(labels),
        }
    return found


DEFINITION = Definition(
    "heterogeneous",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "steps", "searches-few"),
    "MiniLM (22.7 M parameters) on five unlike tasks with 2, 8, 2, 2 and 20 classes; a head for each",
)
