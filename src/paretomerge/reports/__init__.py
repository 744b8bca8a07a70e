"""Results → a picture, one self-contained page, and plain tables.

`report(data, directory)` writes everything; the parts stand alone too.
"""

from paretomerge.reports.bundle import ReportPaths, report
from paretomerge.reports.data import ReportData
from paretomerge.reports.figure import draw_front
from paretomerge.reports.page import write_page
from paretomerge.reports.tables import compact_table, ledger_table, markdown_table, methods_table, scores_table
from paretomerge.reports.verified import Intervals, Verified

__all__ = [
    "Intervals",
    "ReportData",
    "ReportPaths",
    "Verified",
    "compact_table",
    "draw_front",
    "ledger_table",
    "markdown_table",
    "methods_table",
    "report",
    "scores_table",
    "write_page",
]
