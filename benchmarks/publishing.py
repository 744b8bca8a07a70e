"""What every benchmark shares: the machine it ran on, and the generated parts of pages."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

RESAMPLES = 10_000


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    packages = ("paretomerge", "torch", "transformers", "numpy", "scikit-learn", "moocore")
    return {
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }


def write_section(page: Path, name: str, text: str) -> None:
    """Replace a generated part of a page."""
    before, _, rest = page.read_text().partition(f"<!-- {name}: generated -->\n")
    _, _, after = rest.partition(f"<!-- {name}: end -->")
    page.write_text(f"{before}<!-- {name}: generated -->\n{text}\n<!-- {name}: end -->{after}")


def bootstrap_ratio(one: np.ndarray, other: np.ndarray) -> list[float]:
    """95 % percentile interval of the ratio of means, resampling seeds (paired)."""
    draws = np.random.default_rng(0).integers(len(one), size=(RESAMPLES, len(one)))
    ratios = one[draws].mean(axis=1) / other[draws].mean(axis=1)
    return [float(q) for q in np.percentile(ratios, [2.5, 97.5])]
