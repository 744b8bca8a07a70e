"""Sentences with sentiment in three domains, or four (Hutto & Gilbert, 2014, VADER), split once and for all.

The texts travel inside the source distribution of `vaderSentiment` 2.5, which `assets.py` fetches. Ratings run from -4
to 4; closer to zero than 0.5 is no opinion. A review's sentences stay in one split, and each text appears once.
"""

from __future__ import annotations

import html
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

INNER = "vaderSentiment-2.5/additional_resources/hutto_ICWSM_2014.tar.gz"
FILES = {
    "movie": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "amazon": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "tweets": "hutto_ICWSM_2014/tweets_GroundTruth.txt",
}
TASKS = tuple(FILES)
FOURTH = {"newspaper": "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt"}
"""Editorials of the New York Times; the other three are split as they are without them."""
SIZES = {"test": 650, "validation": 300, "training": 1950}
NEUTRAL = 0.5


@dataclass(frozen=True)
class Texts:
    """Sentences and their labels, 0 negative, 1 positive."""

    texts: tuple[str, ...]
    labels: np.ndarray


def load_texts(sdist: Path, seed: int = 20240, *, fourth: bool = False) -> dict[str, dict[str, Texts]]:
    """`load_texts(...)[task][split]`."""
    seen: set[str] = set()
    found: dict[str, dict[str, Texts]] = {}
    for index, (task, rows) in enumerate(_read(sdist, FILES | FOURTH if fourth else FILES).items()):
        reviews: dict[str, list[tuple[str, int]]] = {}
        for review, score, text in rows:
            key = " ".join(text.lower().split())
            if abs(score) >= NEUTRAL and key and key not in seen:
                seen.add(key)
                reviews.setdefault(review, []).append((text, int(score > 0)))
        found[task] = _split(reviews, np.random.default_rng([seed, index]))
    return found


def _split(reviews: dict[str, list[tuple[str, int]]], rng: np.random.Generator) -> dict[str, Texts]:
    """Whole reviews until a split is full."""
    names = sorted(reviews)
    rng.shuffle(names)
    queue = [reviews[name] for name in names]
    splits = {}
    for split, size in SIZES.items():
        items: list[tuple[str, int]] = []
        while queue and len(items) < size:
            items += queue.pop()
        items = [items[i] for i in rng.permutation(len(items))[:size]]
        splits[split] = Texts(tuple(text for text, _ in items), np.array([label for _, label in items]))
    return splits


def _read(sdist: Path, files: dict[str, str]) -> dict[str, list[tuple[str, float, str]]]:
    with tarfile.open(sdist) as outer:
        member = outer.extractfile(INNER)
        assert member is not None
        inner = member.read()
    rows = {}
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        for task, name in files.items():
            file = archive.extractfile(name)
            assert file is not None
            lines = file.read().decode("utf-8", errors="replace").splitlines()
            fields = [line.split("\t", 2) for line in lines if line.count("\t") >= 2]
            rows[task] = [
                (name.split("_")[0], float(score), html.unescape(text).strip()) for name, score, text in fields
            ]
    return rows
