"""What every benchmark shares: the machine it ran on, and the generated parts of pages."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


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
