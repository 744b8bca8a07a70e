"""Pictures of the suite's results, drawn from committed JSON into `docs/assets`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.suite.measures.costs import GRID
from benchmarks.suite.results import AVERAGING, DEFAULT, MAIN, Result, Results
from benchmarks.suite.statistics import ratio_with_interval
from benchmarks.suite.tables.curvature import points
from benchmarks.suite.tables.searched_fronts import searches
from paretomerge.errors import MissingExtraError

FOLDER = Path(__file__).parents[2] / "docs" / "assets"
GREY = "#888888"
FAMILIES = {
    "isotropic": ("averaging", GREY),
    "diagonal": ("diagonal", "#1f77b4"),
    "kronecker": ("Kronecker-factored", "#ff7f0e"),
    "low_rank": ("low rank", "#2ca02c"),
    "subspace": ("subspace", "#d62728"),
}
METHODS = {
    "averaging": GREY,
    "diagonal": "#1f77b4",
    "EKFAC, at finetunes": "#ff7f0e",
    "low rank, at finetunes": "#2ca02c",
    "subspace, layers, at finetunes": "#e377c2",
    "subspace, layers, centred": "#9467bd",
    "subspace, layers, enriched": "#8c564b",
    "default": "#d62728",
}
"""From stiff to flexible."""
PREVIEWS = {
    "averaging": GREY,
    "TIES": "#bc8f1f",
    "diagonal": "#1f77b4",
    "default": "#d62728",
    "continued from one joint run": "black",
    "continued from one joint run, faded": "#9467bd",
}
"""Whose fronts are held against searched ones."""
SEARCHES = {
    ("informed", "weights"): ("#d62728", "o"),
    ("informed", "coefficients"): ("#ff9896", "o"),
    ("MAP as published", "coefficients"): ("#1f77b4", "s"),
    ("MAP repaired", "coefficients"): ("#17becf", "s"),
    ("NSGA-II", "coefficients"): ("#2ca02c", "^"),
    ("random search", "coefficients"): ("#bcbd22", "v"),
}
FEW = 5
"""A panel about curvature has at least so many methods."""


def draw_figures(results: Results, folder: Path = FOLDER) -> list[Path]:
    """Those for which there is something to show."""
    return [folder / picture_of(name) for name, draw in DRAWN.items() if draw(results, folder / picture_of(name))]


def picture_of(name: str) -> str:
    """The file of a picture.

    >>> picture_of("quality per cost")
    'suite-quality-per-cost.png'
    """
    return f"suite-{name.replace(' ', '-')}.png"


def draw_overview(results: Results, path: Path) -> bool:
    """Preview errors in noise floors: settings by families."""
    used = [one for one in results.values() if one.has_floor and one.has(DEFAULT, "loss_error")]
    if not used:
        return False
    figure, axes = plots().subplots(figsize=(8.4, 1.6 + 0.36 * len(used)), dpi=160)
    for number, (name, colour) in enumerate(METHODS.items()):
        shift = 0.25 * (number / (len(METHODS) - 1) - 0.5)
        label: str | None = name
        for row, one in enumerate(used):
            if not one.has(name, "loss_error"):
                continue
            ratio, interval = ratio_with_interval(*one.pair(name, "loss_error", one.floor()))
            size = 46 if name == DEFAULT else 24
            axes.scatter([ratio], [row + shift], s=size, color=colour, label=label, zorder=3, linewidths=0)
            if interval and name == DEFAULT:
                axes.plot(interval, [row + shift] * 2, color=colour, lw=1.4, zorder=2)
            label = None
    axes.axvline(1, color="black", lw=0.9)
    axes.set_yticks(range(len(used)), [one.name for one in used])
    axes.set_ylim(len(used) - 0.5, -0.5)
    axes.set_xlabel("preview error, multiple of the noise floor", fontsize=9)
    logarithmic(axes, lambda x: f"{x:g}")
    axes.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return save(figure, [axes], path)


def draw_curvature(results: Results, path: Path) -> bool:
    """Preview error against curvature error, a panel for each setting with enough methods."""
    used = {one.name: found for one in results.values() if len(found := points(one)) >= FEW}
    if not used:
        return False
    columns = min(3, len(used))
    rows = -(-len(used) // columns)
    figure, grid = plots().subplots(rows, columns, figsize=(3.4 * columns, 2.9 * rows + 0.6), dpi=160, squeeze=False)
    for axes, (name, found) in zip(grid.flat, used.items(), strict=False):
        for family, (_, colour) in FAMILIES.items():
            for centred, marker in ((False, "o"), (True, "D")):
                chosen = [(x, y) for x, y, kind, flag in found if kind == family and flag == centred]
                if chosen:
                    axes.scatter(*zip(*chosen, strict=True), s=20, c=colour, marker=marker, alpha=0.8, linewidths=0)
        axes.axhline(1, color=GREY, lw=0.8, ls=":")
        axes.set_title(name, fontsize=9)
        axes.set_xlim(left=0)
        axes.set_ylim(0, min(2.0, 1.1 * max(1.0, *(y for _, y, _, _ in found))))
    for axes in grid.flat[len(used) :]:
        axes.set_visible(False)
    figure.supxlabel("curvature error: relative distance to the Gauss-Newton matrix at the average", fontsize=9)
    figure.supylabel("preview error, × averaging", fontsize=9)
    families = [FAMILIES[name] for name in FAMILIES if any(kind == name for f in used.values() for _, _, kind, _ in f)]
    handles = [dot(grid[0, 0], label, colour, "o") for label, colour in families]
    handles.append(dot(grid[0, 0], "centred", "white", "D", edge="black"))
    figure.legend(handles=handles, fontsize=8, frameon=False, ncols=len(handles), loc="upper center")
    return save(figure, list(grid.flat), path, top=1 - 0.32 / figure.get_figheight())


def draw_costs(results: Results, path: Path) -> bool:
    """Hypervolume ratio against the share of the joint grid's cost, a panel for each main setting."""
    used = [results[name] for name in MAIN if name in results and results[name].has(AVERAGING, "hypervolume_ratio")]
    if not used:
        return False
    figure, grid = plots().subplots(1, len(used), figsize=(4.0 * len(used), 3.9), dpi=160, squeeze=False)
    shown: dict[str, Any] = {}
    for axes, result in zip(grid.flat, used, strict=True):
        shown |= cost_panel(axes, result)
    for axes in grid.flat:
        axes.set_xlabel(f"core-seconds, share of {GRID} joint finetunes", fontsize=9)
    grid[0, 0].set_ylabel("hypervolume ratio to the joint front", fontsize=9)
    columns = 3 if len(used) == 1 else 5
    lines = -(-len(shown) // columns)
    figure.legend(shown.values(), shown.keys(), fontsize=8, frameon=False, ncols=columns, loc="upper center")
    return save(figure, list(grid.flat), path, top=1 - (0.1 + 0.18 * lines) / figure.get_figheight())


def cost_panel(axes: Any, result: Result) -> dict[str, Any]:
    """One setting; label → handle."""
    shown: dict[str, Any] = {"joint finetuning": joint_line(axes, result)}
    heights: list[float] = []
    for name, colour in PREVIEWS.items():
        if result.has(name, "hypervolume_ratio", "share"):
            x, y = result.mean(name, "share"), result.mean(name, "hypervolume_ratio")
            shown[f"previews: {name}"] = axes.scatter([x], [y], s=60, marker="*", color=colour, zorder=4)
            heights.append(y or 0.0)
    found = searches(result)
    for key, (colour, marker) in SEARCHES.items():
        line = [
            (result.mean(name, "share"), result.mean(name, "hypervolume_ratio"))
            for _, name in sorted(found.get(key, {}).items())
            if result.has(name, "hypervolume_ratio", "share")
        ]
        if line:
            heights += [y or 0.0 for _, y in line]
            label = f"{key[0]}, over {key[1]}"
            shown[label] = axes.plot(*zip(*line, strict=True), color=colour, marker=marker, ms=3.5, lw=1.1)[0]
    axes.set_ylim(bottom=min(heights) - 0.05)  # joint finetuning of few weightings would squeeze the rest
    axes.axhline(1, color="black", lw=0.8)
    axes.axvline(0.1, color=GREY, lw=0.8, ls=":")
    axes.set_title(result.name, fontsize=9)
    logarithmic(axes, lambda x: f"{100 * x:g} %")
    return shown


def joint_line(axes: Any, result: Result) -> Any:
    """What joint finetuning of a part of the weightings would show."""
    volumes = np.mean([one for one in result.stored["grid"]["joint_volumes"] if one], axis=0)
    share = (result.mean(AVERAGING, "share") or 0.0) + np.arange(len(volumes)) / GRID
    return axes.plot(share, volumes, color="black", lw=1.2, ls="--")[0]


def logarithmic(axes: Any, words: Callable[[float], str]) -> None:
    """Ticks at one, two and five times powers of ten."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    ticks = [step * 10.0**power for power in range(-5, 6) for step in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(inside, [words(round(tick, 9)) for tick in inside])
    axes.minorticks_off()


def dot(axes: Any, label: str, colour: str, marker: str, edge: str = "none") -> Any:
    """An entry of a legend."""
    return axes.scatter([], [], s=24, c=colour, marker=marker, label=label, edgecolors=edge)


def save(figure: Any, panels: list[Any], path: Path, top: float = 1.0) -> bool:
    """Tidy, write, close."""
    for axes in panels:
        axes.grid(alpha=0.2, lw=0.6)
        axes.tick_params(labelsize=8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.tight_layout(rect=(0, 0, 1, top))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plots().close(figure)
    return True


def plots() -> Any:
    """Pictures without a screen."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "report") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


DRAWN: dict[str, Callable[[Results, Path], bool]] = {
    "overview": draw_overview,
    "curvature error": draw_curvature,
    "quality per cost": draw_costs,
}
"""Name → how it is drawn."""
CAPTIONS = {
    "overview": "Preview errors in noise floors, by setting and method",
    "curvature error": "Preview error against curvature error, by setting",
    "quality per cost": "Hypervolume ratio against cost",
}


def shown(name: str, folder: Path = FOLDER) -> str:
    """Markdown of a picture for `benchmarks/README.md`, once there is one."""
    path = folder / picture_of(name)
    return f"![{CAPTIONS[name]}](../docs/assets/{path.name})" if path.exists() else "No picture yet."
