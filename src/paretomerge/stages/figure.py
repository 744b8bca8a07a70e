"""`report --figure`: the front of a run as a figure for a paper."""

from __future__ import annotations

import os
from pathlib import Path

from paretomerge.reports import DOUBLE_COLUMN, FigureKind, draw_front, require_printable
from paretomerge.stages.report import report_data
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study


def draw_figure(
    study: Study,
    path: str | os.PathLike[str],
    *,
    metric: str | None = None,
    kind: FigureKind | None = None,
    width: float = DOUBLE_COLUMN,
    font_size: float = 8.0,
    progress: Progress = silent,
) -> Path:
    """Draw what the run's report shows; estimates the front first if there is none.

    Args:
        study: the run.
        path: where to; the ending `.png`, `.svg` or `.pdf` says the format. Its folder is made if it is missing.
        metric: draw the objectives with this metric; by default those of the front.
        kind: `"scatter"`, `"maps"` or `"parallel"`; by default what suits the number of objectives.
        width: in inches, at which the figure will be printed.
        font_size: in points.
        progress: told how far the front is, where it has to be estimated.

    Raises:
        DataError: as `reports.draw_front`.
        MissingExtraError: matplotlib is not installed.
        StorageError: the disk refused.
    """
    require_printable(path, width, font_size)
    data = report_data(study, progress)
    return draw_front(data, path, metric=metric, kind=kind, width=width, font_size=font_size)
