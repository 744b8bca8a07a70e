"""Plain tables for the terminal (rich) and for documents (Markdown)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from paretomerge.reports.columns import Column, columns_of, ledger_columns, score_columns
from paretomerge.reports.data import COUNTED
from paretomerge.types import Objective, Scores

if TYPE_CHECKING:
    from rich.table import Table


def methods_table(rows: Sequence[Mapping[str, Any]], title: str = "Methods") -> Table:
    """The comparison of methods; a column `"<name> stderr"` becomes the ± of `<name>` (1.96 standard errors)."""
    return _rich(columns_of(rows), title)


def ledger_table(ledger: Mapping[str, Mapping[str, float | None]], title: str = "Costs") -> Table:
    """What every stage or method cost."""
    return _rich(ledger_columns(ledger), title)


def scores_table(scores: Scores, title: str = "Scores", objectives: Sequence[Objective] | None = None) -> Table:
    """Origin, weights and values ± 1.96 standard errors of every model."""
    return _rich(score_columns(scores, objectives), title)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """`rows` as a Markdown table, numbers right-aligned; empty text for no rows.

    >>> print(markdown_table([{"method": "averaging", "loss error": 0.045, "loss error stderr": 0.003}]))
    | method | loss error |
    | --- | ---: |
    | averaging | 0.0450 ± 0.0059 |
    """
    columns = columns_of(rows)
    if not columns:
        return ""
    lines = [
        [_escaped(column.name) for column in columns],
        ["---:" if column.numeric else "---" for column in columns],
        *([_escaped(column.cells[i]) for column in columns] for i in range(len(rows))),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ledger_rows(ledger: Mapping[str, Mapping[str, float | None]]) -> list[dict[str, Any]]:
    """The ledger as rows for `markdown_table`; energy where any is known."""
    metered = any(costs.get("joules") is not None for costs in ledger.values())
    currencies = (*COUNTED, "joules") if metered else COUNTED
    return [
        {"stage": stage, **{currency.replace("_", " "): costs.get(currency) for currency in currencies}}
        for stage, costs in ledger.items()
    ]


def compact_table(
    columns: Sequence[tuple[str, Sequence[str]]], title: str, left: int = 0, styles: Sequence[str] = ()
) -> Table:
    """Cells as they are, in as little width as they need: numbers are never broken or cut at 80 columns.

    Args:
        columns: headers and cells; both may hold line breaks.
        title: above the table.
        left: how many columns, from the first, are text: left-aligned, and wrapped where width is short. All others
            are right-aligned, and only their headers wrap.
        styles: of each row.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    widths = [max((len(line) for cell in cells for line in cell.split("\n")), default=0) for _, cells in columns]
    headers = [header if i < left else _folded(header, max(widths[i], 6)) for i, (header, _) in enumerate(columns)]
    needed = [max(map(len, (header.split("\n")))) for header in headers]
    gaps = 2 if sum(map(max, widths, needed)) + 2 * len(columns) <= 80 else 1
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, gaps - 1, 0, 0),
    )
    for number, header in enumerate(headers):
        if number < left:
            table.add_column(Text(header), overflow="fold")
        else:
            table.add_column(Text(header), justify="right", no_wrap=True)
    for number, row in enumerate(zip(*(cells for _, cells in columns), strict=True)):
        table.add_row(*map(Text, row), style=styles[number] if styles else None)
    return table


def _folded(header: str, width: int) -> str:
    """The header in lines of at most `width`, words whole; `loss[task]` becomes `loss` above `task` if it must."""
    lines = header.replace("[", "\n").replace("]", "").split("\n")
    lines = header.split("\n") if max(map(len, header.split("\n"))) <= width else lines
    return "\n".join(piece for line in lines for piece in wrap(line, width, break_long_words=False) or [""])


def _rich(columns: Sequence[Column], title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), box=SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in columns:
        justify = "right" if column.numeric else "left"
        table.add_column(Text(column.name), justify=justify, no_wrap=column.numeric)  # type: ignore[arg-type]
    for i in range(len(columns[0].cells) if columns else 0):
        table.add_row(*(Text(column.cells[i]) for column in columns))
    return table


def _escaped(text: str) -> str:
    for character in ("\\", "|", "`", "*", "_", "[", "]"):
        text = text.replace(character, "\\" + character)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
