"""One self-contained HTML page: it opens from a disk, a mail or a USB stick, and asks the network for nothing.

The template's placeholders are replaced once, in one pass, so a name that looks like a placeholder stays a
name. The content security policy allows exactly this page's script and style, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path

from paretomerge.checkpoints.atomic import write_bytes
from paretomerge.reports.columns import columns_of, ledger_columns
from paretomerge.reports.data import ReportData
from paretomerge.reports.embed import payload, to_script_json
from paretomerge.reports.findings import diagnoses_html, verification_html
from paretomerge.reports.headline import headline
from paretomerge.reports.marks import MARKS, clean
from paretomerge.reports.markup import framed_table, section_html, sentences_html
from paretomerge.reports.summary import names_of, summary_html

SCRIPTS = (
    *("digits.js", "elements.js", "choices.js", "landscape.js", "scene.js", "tooltip.js", "frame.js"),
    *("scatter.js", "contours.js", "ternary.js", "profiles.js", "space.js", "turning.js", "parallel.js", "brush.js"),
    *("matrix.js", "charts.js", "tables.js", "verification.js"),
    *("weights.js", "wishes.js", "commands.js", "answer.js", "explorer.js", "theme.js", "navigation.js", "main.js"),
)
STYLES = ("page.css", "charts.css", "explorer.css", "print.css")
MOST_ROWS = 400
_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")


def write_page(path: str | os.PathLike[str], data: ReportData) -> Path:
    """Write the page of `data` to `path`, in one step.

    Raises:
        StorageError: the disk refused; what was at `path` before is untouched.
    """
    return write_bytes(Path(path), page_html(data).encode("utf-8", errors="replace"))


def page_html(data: ReportData) -> str:
    """The page as text, below one megabyte."""
    document = payload(data)
    script = _script()
    style = _style()
    left_out = document["left_out"]
    warnings = []
    if left_out:
        warnings.append(
            f"{left_out} points were left out, evenly, to keep this page small; the run itself has them all."
        )
    if len(data.methods) > MOST_ROWS:
        warnings.append(f"Of {len(data.methods)} methods the first {MOST_ROWS} are shown.")
    parts = {
        "title": escape(clean(data.title) or "Report"),
        "headline": escape(headline(data)),
        "summary": summary_html(data, warnings),
        "diagnoses": diagnoses_html(data.diagnoses, names_of(data)),
        "verification": verification_html(data),
        "methods": section_html("methods", "Methods", framed_table("methods", columns_of(data.methods[:MOST_ROWS]))),
        "ledger": section_html(
            "ledger", "Costs", framed_table("ledger", ledger_columns(data.ledger)) + sentences_html(data.ledger_notes)
        ),
        "notes": _notes(data),
        "json": to_script_json(document),
        "script": script,
        "style": style,
        "script_hash": _hash(script),
        "style_hash": _hash(style),
    }
    return _PLACEHOLDER.sub(lambda found: parts[found.group(1)], _template("report.html"))


@cache
def _template(name: str) -> str:
    return files("paretomerge.reports").joinpath("template", name).read_text("utf-8").replace("\r\n", "\n")


def _script() -> str:
    return '"use strict";\n(() => {\n' + "\n".join(_template(name) for name in SCRIPTS) + "\n})();\n"


def _style() -> str:
    """The light palette, the dark one by the system's wish or the reader's, and what uses them."""
    light = "".join(f"--{origin}:{mark.light};" for origin, mark in MARKS.items())
    dark = "".join(f"--{origin}:{mark.dark};" for origin, mark in MARKS.items()) + _template("dark.css")
    palettes = (
        f":root{{{light}}}\n"
        f'@media screen and (prefers-color-scheme: dark){{:root:not([data-theme="light"]){{{dark}}}}}\n'
        f'@media screen{{:root[data-theme="dark"]{{{dark}}}}}\n'
    )
    first, *others = (_template(name) for name in STYLES)
    return "\n".join([first, palettes, *others])


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _notes(data: ReportData) -> str:
    if not data.notes:
        return ""
    items = "".join(
        f"<div><dt>{escape(clean(name))}</dt><dd>{escape(clean(text))}</dd></div>" for name, text in data.notes.items()
    )
    return section_html("notes", "Notes", f'<dl class="notes">{items}</dl>')
