"""Results → a picture, one self-contained page, and plain tables.

`report(data, directory)` writes everything; the parts stand alone too.
"""

from paretomerge.reports.bundle import ReportPaths, report
from paretomerge.reports.data import ReportData
from paretomerge.reports.figure import DOUBLE_COLUMN, SINGLE_COLUMN, draw_front, require_printable
from paretomerge.reports.figure_plan import FigureKind
from paretomerge.reports.grid import PredictedGrid, predicted_grid
from paretomerge.reports.page import write_page
from paretomerge.reports.tables import compact_table, ledger_table, markdown_table, methods_table, scores_table
from paretomerge.reports.verified import Intervals, Verified

__all__ = [
    "DOUBLE_COLUMN",
    "FigureKind",
    "Intervals",
    "PredictedGrid",
    "ReportData",
    "ReportPaths",
    "SINGLE_COLUMN",
    "Verified",
    "compact_table",
    "draw_front",
    "ledger_table",
    "markdown_table",
    "methods_table",
    "predicted_grid",
    "report",
    "require_printable",
    "scores_table",
    "write_page",
]
