"""The parts of `examples/sentiment` that benchmarks use.

Its scripts import each other by bare names, such as `model`. Neither the path to them nor the names stay behind, or
somebody else's `model.py` would be taken for theirs, or theirs for somebody else's.
"""

import sys
from pathlib import Path

_FOLDER = str(Path(__file__).parents[1] / "examples" / "sentiment")
_NAMES = ("assets", "data", "model", "run")
_others = {name: sys.modules.pop(name) for name in _NAMES if name in sys.modules}
sys.path.insert(0, _FOLDER)
try:
    from assets import fetch
    from data import TASKS, Texts, load_texts
    from model import MAX_LENGTH, Classifier, probed_base, sentiment_problem
    from run import RECIPE
finally:
    sys.path.remove(_FOLDER)
    for _name in _NAMES:
        sys.modules.pop(_name, None)
    sys.modules.update(_others)

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
