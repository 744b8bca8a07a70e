"""The whole report: page and figure in one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from paretomerge.errors import MissingExtraError
from paretomerge.reports.data import ReportData
from paretomerge.reports.figure import draw_front
from paretomerge.reports.page import write_page


@dataclass(frozen=True)
class ReportPaths:
    """Where a report was written.

    Args:
        figure: the picture; `None` when there is none.
        page: the HTML page.
        missing: why there is no picture; empty when there is one.
    """

    figure: Path | None
    page: Path
    missing: str = ""


def report(data: ReportData, directory: str | os.PathLike[str]) -> ReportPaths:
    """Write `report.html`, and `front.png` where it can be drawn, into `directory`.

    The page needs no other package. Without matplotlib, or without at least two objectives with scores,
    `missing` says why there is no picture.

    Raises:
        StorageError: the disk refused.
    """
    folder = Path(directory)
    page = write_page(folder / "report.html", data)
    if len(data.objectives) < 2 or not len(data.scores):
        return ReportPaths(None, page, "a picture needs at least two objectives and one scored model")
    try:
        return ReportPaths(draw_front(data, folder / "front.png"), page)
    except MissingExtraError as error:
        return ReportPaths(None, page, str(error))
