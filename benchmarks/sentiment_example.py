"""The parts of `examples/sentiment` that benchmarks use; its scripts import each other by bare names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "sentiment"))

from assets import fetch
from data import TASKS, Texts, load_texts
from model import MAX_LENGTH, Classifier, probed_base, sentiment_problem
from run import RECIPE

__all__ = [
    "MAX_LENGTH",
    "RECIPE",
    "TASKS",
    "Classifier",
    "Texts",
    "fetch",
    "load_texts",
    "probed_base",
    "sentiment_problem",
]
