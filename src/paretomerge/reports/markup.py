"""Small pieces of the page's HTML: sections, and tables that can be sorted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from paretomerge.reports.columns import Column
from paretomerge.reports.marks import clean

LONGEST_HEADING = 36

_LONG_WORD = re.compile(r"\S{15}")


def section_html(name: str, heading: str, content: str) -> str:
    """A section with a heading; nothing when there is nothing in it."""
    if not content:
        return ""
    return (
        f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{escape(heading)}</h2>{content}</section>'
    )


def framed_table(name: str, columns: Sequence[Column]) -> str:
    """A table that scrolls within its section; nothing for no rows."""
    if not columns or not columns[0].cells:
        return ""
    return f'<div class="scroll" tabindex="0" role="region" aria-labelledby="h-{name}">{table_html(columns)}</div>'


def sentences_html(sentences: Sequence[str]) -> str:
    """A list in small print; nothing for no sentences."""
    items = "".join(f"<li>{escape(clean(sentence))}</li>" for sentence in sentences)
    return f'<ul class="hint">{items}</ul>' if items else ""


def table_html(columns: Sequence[Column]) -> str:
    """A table whose headings are buttons that sort it; `data-key` carries the unrounded number."""
    heads = "".join(_heading(column) for column in columns)
    rows = []
    for i in range(len(columns[0].cells)):
        cells = "".join(f"<td{_class(column)}{_key(column, i)}>{escape(column.cells[i])}</td>" for column in columns)
        rows.append(f"<tr>{cells}</tr>")
    return f'<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _heading(column: Column) -> str:
    shown = clean(column.name, LONGEST_HEADING)
    title = f' title="{escape(column.name)}"' if shown != column.name else ""
    title = title if shown else ' aria-label="name"'
    words = ["number"] * column.numeric + ["long"] * bool(_LONG_WORD.search(shown))
    button = f'<button type="button"{title}>{escape(shown) or "&nbsp;"}</button>'
    return f'<th scope="col" class="{" ".join(words)}">{button}</th>'


def _class(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _key(column: Column, row: int) -> str:
    key = column.keys[row]
    if not column.numeric:
        return ""
    return ' data-key=""' if key is None else f' data-key="{float(key)!r}"'
