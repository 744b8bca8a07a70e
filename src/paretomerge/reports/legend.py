"""The legend of a figure: what is in the picture, and nothing that is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paretomerge.reports.figure_plan import FigurePlan
from paretomerge.reports.maps import MIDDLE_COLOUR, Ground, ground_of
from paretomerge.reports.marks import CHOSEN_COLOUR, MARKS
from paretomerge.reports.panels import BAND_ALPHA, BAND_COLOUR, GREY, INK, MANY, unit
from paretomerge.reports.points import lines_of, links_of
from paretomerge.types import Origin
from paretomerge.types.scores import ORIGINS

if TYPE_CHECKING:
    from matplotlib.lines import Line2D


def legend_handles(plan: FigurePlan) -> list[Any]:
    """Matplotlib's handles, each with its label."""
    return [*_origins(plan), *(_of_scatter(plan) if plan.kind == "scatter" else []), *_of_points(plan)]


def _origins(plan: FigurePlan) -> list[Any]:
    from matplotlib.patches import Patch

    ground = _ground(plan)
    painted = ground is not None and ground.origin == "predicted"
    handles: list[Any] = [Patch(color=MIDDLE_COLOUR, linewidth=0, label="predicted")] if painted else []
    for origin in ORIGINS:
        if plan.points.rows(origin) and not (painted and origin == "predicted"):
            handles.append(_mark(origin, hollow=plan.kind == "maps"))
    return handles


def _ground(plan: FigurePlan) -> Ground | None:
    return ground_of(plan.points, plan.columns[0], plan.landscape) if plan.kind == "maps" else None


def _mark(origin: Origin, hollow: bool) -> Line2D:
    from matplotlib.lines import Line2D

    look, size = MARKS[origin], unit()
    return Line2D(
        [], [], marker=look.shape, color=look.light, linestyle="", label=look.label, markersize=6 * size,
        markerfacecolor="white" if hollow else look.light, markeredgecolor=look.light,
        markeredgewidth=1.5 * size if hollow else 0,
    )  # fmt: skip


def _of_scatter(plan: FigurePlan) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = []
    if any(line.origin is None for line in lines_of(plan.points, plan.columns)):
        handles.append(Line2D([], [], color=INK, linewidth=1.3 * unit(), label="front"))
    if plan.band is not None:
        label = f"{plan.band.share:g} % of fronts"
        handles.append(Patch(color=BAND_COLOUR, alpha=BAND_ALPHA, linewidth=0, label=label))
    if 0 < len(links_of(plan.points)) <= MANY:
        dotted = (0, (2, 2))
        handles.append(Line2D([], [], color=GREY, linewidth=0.8 * unit(), linestyle=dotted, label="same weighting"))
    if plan.points.stderr[:, plan.columns].any():
        handles.append(Line2D([], [], color=GREY, marker="|", linewidth=unit(), label="95 % interval"))
    return handles


def _of_points(plan: FigurePlan) -> list[Any]:
    from matplotlib.lines import Line2D

    handles, size = [], unit()
    if _ground(plan) is not None and plan.points.front:
        handles.append(Line2D([], [], marker=".", color=INK, markersize=3 * size, linestyle="", label="on the front"))
    if plan.points.chosen is not None:
        star = Line2D(
            [], [], marker="*", linestyle="", label="chosen", markersize=11 * size, markerfacecolor=CHOSEN_COLOUR,
            markeredgecolor=INK,
        )  # fmt: skip
        handles.append(star)
    return handles
