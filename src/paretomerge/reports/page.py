"""One self-contained HTML page: it opens from a disk, a mail or a USB stick, and asks the network for nothing.

The template's placeholders are replaced once, in one pass, so a name that looks like a placeholder stays a
name. The content security policy allows exactly this page's script and style, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
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

SCRIPTS = (
    *("digits.js", "elements.js", "scatter.js", "ternary.js", "parallel.js", "tables.js"),
    *("choices.js", "chooser.js", "verification.js", "main.js"),
)
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
    warnings = [clean(warning) for warning in data.warnings]
    if left_out:
        warnings.append(
            f"{left_out} points were left out, evenly, to keep this page small; the run itself has them all."
        )
    if len(data.methods) > MOST_ROWS:
        warnings.append(f"Of {len(data.methods)} methods the first {MOST_ROWS} are shown.")
    parts = {
        "title": escape(clean(data.title) or "Report"),
        "headline": escape(headline(data)),
        "warnings": _warnings(warnings),
        "diagnoses": diagnoses_html(data.diagnoses),
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
    light = "".join(f"--{origin}:{mark.light};" for origin, mark in MARKS.items())
    dark = "".join(f"--{origin}:{mark.dark};" for origin, mark in MARKS.items())
    screen = "@media screen and (prefers-color-scheme: dark)"
    return f":root{{{light}}}\n{screen}{{:root{{{dark}}}}}\n" + _template("page.css")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    heading = "Warning" if len(warnings) == 1 else "Warnings"
    return (
        '<section class="warnings" aria-labelledby="h-warnings">'
        f'<h2 id="h-warnings">{heading}</h2><ul>{items}</ul></section>'
    )


def _notes(data: ReportData) -> str:
    if not data.notes:
        return ""
    items = "".join(
        f"<div><dt>{escape(clean(name))}</dt><dd>{escape(clean(text))}</dd></div>" for name, text in data.notes.items()
    )
    return f'<section aria-labelledby="h-notes"><h2 id="h-notes">Notes</h2><dl class="notes">{items}</dl></section>'
