"""From recordings to numbers: one seed of one setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.suite.setting import Setting


def measure(setting: Setting, folder: Path) -> dict[str, Any]:
    """All measures of all methods that are recorded."""
    return {}
