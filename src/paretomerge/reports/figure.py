"""The front as a figure for papers and model cards: SVG, PDF or PNG, at the width at which it will be printed.

Two objectives: a scatter with front lines and the band in which the front lies. Three tasks: a ternary map of every
objective. More: parallel coordinates. Type has its size in print: include the figure without scaling it.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretomerge.checkpoints.atomic import write_bytes
from paretomerge.errors import DataError, MissingExtraError
from paretomerge.reports.data import ReportData
from paretomerge.reports.figure_plan import FigureKind, FigurePlan, plan_figure
from paretomerge.reports.legend import legend_handles
from paretomerge.reports.maps import draw_map
from paretomerge.reports.marks import clean
from paretomerge.reports.panels import GREY, INK, draw_parallel, draw_scatter, literal, unit
from paretomerge.types import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
SINGLE_COLUMN = 3.3
"""Inches: one column of a two-column page."""
DOUBLE_COLUMN = 6.75
"""Inches: the width of a page with two columns."""
NARROWEST, WIDEST = 2.0, 40.0

_LETTER = 0.6
"""Mean width of a letter, relative to the size of the type."""
_NARROWEST_MAP = 14.0
"""Width of a map, relative to the size of the type."""
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}
_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "axes.edgecolor": GREY,
    "xtick.color": INK,
    "ytick.color": INK,
    "savefig.dpi": 300,
    "svg.fonttype": "none",  # text stays text, for those who edit or search the figure
    "pdf.fonttype": 42,  # TrueType: publishers refuse the default
    "svg.hashsalt": "paretomerge",  # the same data give the same bytes
}


def draw_front(
    scores_or_data: Scores | ReportData,
    path: str | os.PathLike[str],
    *,
    metric: str | None = None,
    kind: FigureKind | None = None,
    width: float = DOUBLE_COLUMN,
    font_size: float = 8.0,
    title: str = "",
) -> Path:
    """Draw scores, or a report's scores with its front and choice, and write the figure in one step.

    Predicted, merged and jointly finetuned points differ in marker and colour; bars are 95 % intervals (the value
    ± 1.96 standard errors). Points at the same weighting are linked by a dotted line. The same data give the same
    bytes.

    Args:
        scores_or_data: what to draw.
        path: where to; the ending `.png`, `.svg` or `.pdf` says the format.
        metric: draw the objectives with this metric; by default the report's objectives.
        kind: `"scatter"` (of every pair where there are more than two objectives), `"maps"` (of every objective over
            the weights of three tasks) or `"parallel"`; by default what suits the number of objectives.
        width: of the figure in inches: `SINGLE_COLUMN` is 3.3, `DOUBLE_COLUMN` 6.75.
        font_size: of all text, in points.
        title: above the figure; papers say it in the caption.

    Raises:
        DataError: nothing to draw, another ending, no objective with that metric, a kind that does not suit the
            data, or a width or font size that cannot be printed.
        MissingExtraError: matplotlib is not installed.
        StorageError: the disk refused; what was at `path` before is untouched.
    """
    data = scores_or_data if isinstance(scores_or_data, ReportData) else ReportData.of_scores(scores_or_data)
    path = Path(path)
    require_printable(path, width, font_size)
    plan = plan_figure(data, metric, kind, width)
    return write_bytes(path, _render(plan, path.suffix.lower()[1:], font_size, title))


def require_printable(path: str | os.PathLike[str], width: float, font_size: float) -> None:
    """Refuse, before anything is computed, what no figure can be.

    Raises:
        DataError: another ending than `.png`, `.svg` or `.pdf`, or a width or font size that cannot be printed.
    """
    name = Path(path).name
    if Path(name).suffix.lower() not in FORMATS:
        raise DataError(f"cannot draw {name!r}: the name must end in .png, .svg or .pdf")
    if not (NARROWEST <= width <= WIDEST and 4 <= font_size <= 40):
        raise DataError(
            f"a figure {width:g} inches wide with type of {font_size:g} points cannot be read: give a width of "
            f"{NARROWEST:g} to {WIDEST:g} inches and 4 to 40 points"
        )


def _render(plan: FigurePlan, format_: str, font_size: float, title: str) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "report") from error
    sizes = ("axes.labelsize", "axes.titlesize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize")
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcParams.update(mpl.rcParamsDefault)
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        mpl.rcParams.update(dict.fromkeys(("font.size", *sizes), font_size))  # type: ignore[arg-type]
        thin = dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.8 * unit())
        mpl.rcParams.update(thin)  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in scripts the font lacks
        compose = {"scatter": _compose_scatters, "maps": _compose_maps, "parallel": _compose_parallel}[plan.kind]
        figure = compose(Figure, plan, 2.4 * unit() * 10 / 72 if title else 0.0)
        if title:
            figure.suptitle(literal(clean(title, 70)), fontsize=1.15 * font_size, fontweight="bold")
        content = io.BytesIO()
        figure.savefig(content, format=format_, metadata=_METADATA[format_], facecolor="white")
    return content.getvalue()


def _compose_scatters(make: type[Figure], plan: FigurePlan, above: float) -> Figure:
    """One scatter, or the lower triangle of the matrix of all pairs."""
    side = len(plan.columns) - 1
    height = min(0.66 * plan.width, 4.4) if side == 1 else 0.9 * plan.width
    figure = _sheet(make, plan, height + above, legend_below=side == 1)
    grid = figure.subplots(side, side, sharex="col", sharey="row", squeeze=False)
    for row in range(side):
        for column in range(side):
            axes = grid[row, column]
            if column > row:
                axes.axis("off")
                continue
            pair = [plan.columns[column], plan.columns[row + 1]]
            draw_scatter(axes, plan.points, pair, lined=side == 1, band=plan.band)
            if side > 1:
                axes.label_outer()
    _add_legend(figure, plan, grid[0, -1] if side > 1 else None)
    return figure


def _compose_maps(make: type[Figure], plan: FigurePlan, above: float) -> Figure:
    count, letter = len(plan.columns), 10 * unit() / 72
    across = max(1, min(count, int(plan.width / (_NARROWEST_MAP * letter))))
    down = -(-count // across)
    spare = count < across * down
    figure = _sheet(make, plan, down * (0.92 * plan.width / across + 6 * letter) + above, legend_below=not spare)
    cells = list(figure.subplots(down, across, squeeze=False).flat)
    for axes, column in zip(cells, plan.columns, strict=False):
        draw_map(axes, plan.points, column, plan.landscape)
    for axes in cells[count:]:
        axes.axis("off")
    _add_legend(figure, plan, cells[count] if spare else None)
    return figure


def _compose_parallel(make: type[Figure], plan: FigurePlan, above: float) -> Figure:
    figure = _sheet(make, plan, min(0.5 * plan.width, 3.6) + 0.9 * unit() + above, legend_below=True)
    draw_parallel(figure.subplots(), plan.points, plan.columns)
    _add_legend(figure, plan, None)
    return figure


def _sheet(make: type[Figure], plan: FigurePlan, height: float, legend_below: bool) -> Figure:
    """An empty figure, with room for the legend below."""
    rows = -(-len(legend_handles(plan)) // _legend_columns(plan)) if legend_below else 0
    figure = make(figsize=(plan.width, height + rows * 1.6 * 10 * unit() / 72), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05)  # type: ignore[union-attr, call-arg]
    return figure


def _legend_columns(plan: FigurePlan) -> int:
    handles = legend_handles(plan)
    letters = max(len(handle.get_label()) for handle in handles) + 5
    most = max(1, int(plan.width * 72 / (letters * _LETTER * 10 * unit())))
    rows = -(-len(handles) // min(most, len(handles)))
    return -(-len(handles) // rows)


def _add_legend(figure: Figure, plan: FigurePlan, inside: Axes | None) -> None:
    """Below the picture, or in a panel that would be empty."""
    handles = legend_handles(plan)
    if inside is not None:
        inside.legend(handles=handles, loc="center", frameon=False, handletextpad=0.4)
        return
    figure.legend(
        handles=handles, loc="outside lower center", ncols=_legend_columns(plan), frameon=False, handletextpad=0.4,
        columnspacing=1.2,
    )  # fmt: skip
