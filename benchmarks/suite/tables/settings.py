"""What the settings are."""

from __future__ import annotations

from benchmarks.suite.results import Results
from benchmarks.suite.tables.cells import amount, markdown

HEAD = ("setting", "what", "tasks", "parameters", "training steps", "weightings", "joint grids", "seeds")


def settings(results: Results) -> str:
    """A row each."""
    rows = [
        [
            one.name,
            one.stored["about"],
            str(len(one.stored["tasks"])),
            amount(one.stored["sizes"]["parameters"]),
            str(one.stored["sizes"]["steps"]),
            str(one.stored["sizes"]["weightings"]),
            str(one.stored["repeats"]),
            ", ".join(map(str, one.seeds)),
        ]
        for one in results.values()
    ]
    return markdown(HEAD, rows)
