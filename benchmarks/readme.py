"""`benchmarks/README.md`, whole, from prose in `pages/*.md` and committed results.

    python -m benchmarks.readme

Prose holds places, `<!-- NAME: generated -->` and `<!-- NAME: end -->` on lines of their own; what stands between
them on the written page comes from JSON. The pages follow one another in the order of their names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.suite.figures import CAPTIONS, shown
from benchmarks.suite.results import read_results
from benchmarks.suite.tables import TABLES
from paretomerge.checkpoints.atomic import write_text

HERE = Path(__file__).parent
PAGE, PAGES, RESULTS = HERE / "README.md", HERE / "pages", HERE / "results"
PLACE = re.compile(r"<!-- (?P<name>[^:>]+): generated -->\n(?:.*?\n)??<!-- (?P=name): end -->", re.DOTALL)


def write() -> None:
    """The page."""
    write_text(PAGE, text())


def text() -> str:
    """The page, before it is written."""
    sections = all_sections()
    pages = [file.read_text(encoding="utf-8").strip() for file in sorted(PAGES.glob("*.md"))]
    return filled("\n\n".join(pages), sections) + "\n"


def filled(page: str, sections: Mapping[str, Callable[[], str]]) -> str:
    r"""A page with its places filled.

    Raises:
        KeyError: a place that nothing is known for.

    >>> print(filled("<!-- a: generated -->\n<!-- a: end -->", {"a": lambda: "1"}))
    <!-- a: generated -->
    1
    <!-- a: end -->
    """

    def section(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name}: generated -->\n{sections[name]()}\n<!-- {name}: end -->"

    return PLACE.sub(section, page)


def all_sections() -> dict[str, Callable[[], str]]:
    """Name of a place → what stands there."""
    results = read_results()
    suite = {f"suite {name}": lambda table=table: table(results) for name, table in TABLES.items()}
    pictures = {f"suite picture {name}": lambda name=name: shown(name) for name in CAPTIONS}
    return {**suite, **pictures, "suite chemistry": chemistry, **older_sections(), **scale_sections()}


def chemistry() -> str:
    """Three checkpoints without data."""
    from benchmarks.suite.chemistry.table import tables

    place = RESULTS / "suite" / "chemistry.json"
    return tables(json.loads(place.read_text(encoding="utf-8")) if place.exists() else None)


def older_sections() -> dict[str, Callable[[], str]]:
    """The studies before the suite."""
    from benchmarks import digits, sentiment
    from benchmarks.evaluation import harness
    from benchmarks.fronts import publish as fronts
    from benchmarks.joint import publish as warm_start
    from benchmarks.joint import publish_diagnoses as diagnoses
    from benchmarks.merge import run as merge
    from benchmarks.posteriors import publish as posteriors

    return {
        "digits": lambda: digits.table(stored("digits")),
        "sentiment": lambda: sentiment.table(stored("sentiment")),
        "posteriors digits": lambda: posteriors.digits_table(stored("posteriors-digits")),
        "posteriors sentiment": lambda: posteriors.sentiment_table(stored("posteriors-sentiment")),
        "posteriors speed": lambda: posteriors.speed_table(stored("posteriors-speed")),
        "fronts": lambda: fronts.tables(stored("fronts")),
        "warm-start": lambda: warm_start.tables(stored("warm-start")),
        "diagnoses": lambda: diagnoses.tables(stored("diagnoses")["reported"]),
        "harness": lambda: harness.table(stored("harness")),
        "merge": lambda: merge.tables(stored("merge")),
    }


def scale_sections() -> dict[str, Callable[[], str]]:
    """What runs take, predicted, measured and simulated."""
    from benchmarks.scale import paper, simulation
    from benchmarks.scale import plan as planned

    return {
        "scale plan": lambda: planned.table(stored("scale/plan")),
        "scale paper": lambda: paper.table(stored("scale/paper")),
        "scale simulation": lambda: simulation.table(stored("scale/simulation")),
    }


def stored(name: str) -> dict[str, Any]:
    """Committed results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    write()
