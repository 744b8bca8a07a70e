"""The charts in a real browser: hovering, dragging, brushing and keys do what they say. Skipped without chromium."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from tests.reports.browsing import asked, needs_browser, opened, root_of

from paretomerge.reports.page import _template, page_html

pytestmark = needs_browser

STILL = "--force-prefers-reduced-motion"
TOOLS = """
const out = {}, all = (s) => [...document.querySelectorAll(s)], one = (s) => document.querySelector(s);
Element.prototype.setPointerCapture = function () { this.held = true; };
Element.prototype.hasPointerCapture = function () { return this.held; };
const point = (node, type, x, y, buttons = 1) => node.dispatchEvent(new PointerEvent(type, { clientX: x,
  clientY: y, bubbles: true, button: 0, buttons, pointerId: 1 }));
const key = (node, name) => node.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true,
  cancelable: true }));
const inside = (node, across, down) => { const box = node.getBoundingClientRect();
  return [box.left + across * box.width, box.top + down * box.height]; };
const pick = (field, value) => { const select = one(`select[data-field="${field}"]`); select.value = value;
  select.dispatchEvent(new Event("change")); };
const rowsOut = () => all("#points tbody tr.out").map((row) => Number(row.cells[0].dataset.key));
const area = (d) => d.split("M").filter((part) => part).map((part) => {
  const corners = part.replace("Z", "").split("L").map((corner) => corner.split(",").map(Number));
  return Math.abs(corners.reduce((sum, [x, y], i) => { const [u, v] = corners[(i + 1) % corners.length];
  return sum + x * v - u * y; }, 0)) / 2;
}).reduce((a, b) => a + b, 0);
"""


def ask(data, tmp_path, probe, *flags):
    return asked(page_html(data), tmp_path, TOOLS + probe, *flags)


TWO = """
const charts = all("#charts svg.plot[role]");
out.charts = charts.length; out.bands = charts.map((chart) => chart.querySelectorAll(".band").length);
const boxes = [...charts[0].querySelectorAll("clipPath rect")].map((rect) => rect.getBBox());
out.boxes = boxes.map((box) => [box.x, box.x + box.width, box.y, box.y + box.height]);
out.bars = charts[0].querySelectorAll(".error:not(.strong)").length;
const mark = charts[0].querySelector('.point .fill-predicted').parentNode;
mark.focus(); out.tooltip = one("#tooltip").textContent;
  out.strong = charts[0].querySelectorAll(".error.strong").length;
mark.blur(); out.after = charts[0].querySelectorAll(".error.strong").length;
const ticks = () => [...one("#charts svg.plot[role]").querySelectorAll(".tick")].map((tick) => tick.textContent).join();
const before = ticks();
point(charts[1], "pointerdown", ...inside(charts[1], 0.5, 0.5));
out.probes = all(".chart .probe").length; out.title = one(".answer h3").textContent;
pick("zoom", "front");
out.zoomed = ticks() !== before;
out.stillThere = all(".chart .probe").length;
out.legend = one(".legend").textContent;
"""


def test_two_tasks_show_a_band_and_predictions_along_the_weights(make_data, tmp_path):
    data = make_data(2, full=True)
    out = ask(data, tmp_path, TWO)
    measured = sum(word != "predicted" for word in data.scores.origin)
    assert (out["charts"], out["bands"]) == (3, [1, 1, 1])
    frame, band = np.array(out["boxes"]).reshape(2, 2, 2)
    assert (band[:, 0] > frame[:, 0]).all()  # a band ends where its front does
    assert (band[:, 1] <= frame[:, 1] + 1e-3).all()
    assert out["bars"] == 2 * measured
    assert re.search(r"movie loss0\.\d+ \[0\.\d+, 0\.\d+\] nats", out["tooltip"])
    assert "90 % interval" in out["tooltip"]
    chosen_too = 2  # the chosen point is picked, and shows its bars as well
    assert out["strong"] - out["after"] == 2
    assert out["after"] == chosen_too
    assert (out["probes"], out["stillThere"]) == (3, 3)
    assert out["title"] == "Your weighting"
    assert out["zoomed"]
    assert "front: 90 % band" in out["legend"]


def test_a_page_without_predictions_shows_every_point_along_the_weights(make_data, tmp_path):
    data = make_data(2)
    out = ask(
        data, tmp_path, "out.marks = all('#charts svg.plot[role]').map((c) => c.querySelectorAll('.point').length);"
    )
    assert out["marks"] == [len(data.scores)] * 3


MAPS = """
const maps = all(".map svg.plot[role]"), surface = (map) => [...map.querySelectorAll("g[id] path[fill]")];
out.maps = maps.length;
out.areas = maps.map((map) => surface(map).map((path) => area(path.getAttribute("d"))).reduce((a, b) => a + b, 0));
out.simplex = maps.map((map) => area(map.querySelector(".simplex").getAttribute("d")));
out.steps = maps.map((map) => surface(map).length);
out.hatched = maps.map((map) => area(map.querySelector('path[fill^="url"]').getAttribute("d")));
out.numbers = maps.map((map) => [...map.querySelectorAll(".scale .tick")].map((tick) => Number(tick.textContent)));
point(maps[1], "pointermove", ...inside(maps[1], 0.5, 0.55), 0); out.hover = one("#tooltip").textContent;
point(maps[1], "pointerdown", ...inside(maps[1], 0.5, 0.55)); out.probes = all(".map .probe").length;
out.weights = all(".weights input[type=number]").map((input) => Number(input.value));
const wish = one(".wishes input[type=number]"); wish.value = LIMIT; wish.dispatchEvent(new Event("input"));
out.limited = all(".map .limited, .map svg.limited").length;
const cut = () => maps.filter((map) => map.querySelector("g[id]").parentNode.hasAttribute("clip-path")).length;
out.cut = cut();
out.kept = maps.map((map) => area(map.querySelector("clipPath path").getAttribute("d")));
wish.value = ""; wish.dispatchEvent(new Event("input")); out.again = all(".map svg.limited").length + cut();
pick("mode", "half"); out.halves = [...all(".map .scale")[0].querySelectorAll(".tick")].map((tick) =>
  Number(tick.textContent));
out.better = all(".map .scale")[0].textContent.includes("better");
"""


def test_three_tasks_have_a_whole_map_per_objective(make_data, tmp_path):
    data = make_data(3, full=True)
    limit = 0.3
    out = ask(data, tmp_path, MAPS.replace("LIMIT", json.dumps(str(limit))))
    assert out["maps"] == 3
    for whole, simplex, steps, numbers in zip(out["areas"], out["simplex"], out["steps"], out["numbers"], strict=True):
        assert whole == pytest.approx(simplex, rel=2e-3)
        assert steps >= 4
        assert numbers == sorted(numbers)
    assert out["hatched"] == pytest.approx([3 * (0.5 / 12) ** 2 * simplex for simplex in out["simplex"]], rel=0.02)
    assert "prediction here" in out["hover"]
    assert "amazon loss" in out["hover"]
    assert out["probes"] == 3
    assert sum(out["weights"]) == pytest.approx(1, abs=2e-3)
    assert min(out["weights"]) > 0.1
    # the kept part is that of the interpolated predictions, the same in all maps
    share = _share_below(data, 0, limit)
    assert 0.1 < share < 0.9
    assert (out["limited"], out["cut"]) == (3, 3)
    assert out["kept"] == pytest.approx([share * simplex for simplex in out["simplex"]], rel=0.02)
    assert out["again"] == 0
    assert not out["better"]
    assert all(0 <= number < 0.1 for number in out["halves"])


def _share_below(data, column, limit):
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 20_000)
    return float((data.landscape.at(weights)[0][:, column] <= limit).mean())


SPACE = """
const space = one("svg.space"), places = () => [...space.querySelectorAll(".point")].map((node) =>
  node.getAttribute("transform")).sort().join();
const start = places(), scrolled = (node) => node.dispatchEvent(new WheelEvent("wheel", { deltaY: -300,
  bubbles: true, cancelable: true }));
out.facets = space.querySelectorAll(".facet").length;
out.passes = scrolled(space); out.unmoved = places() === start;
space.focus(); out.taken = !scrolled(space); out.zoomed = places() !== start; key(space, "Home");
  out.home = places() === start;
key(space, "ArrowLeft"); const left = places(); out.turned = left !== start; key(space, "ArrowUp");
  out.tilted = places() !== left; key(space, "Home");
point(space, "pointerdown", ...inside(space, 0.2, 0.9)); point(space, "pointermove", ...inside(space, 0.4, 0.8));
  point(space, "pointerup", ...inside(space, 0.4, 0.8));
const dragged = places(); out.dragged = dragged !== start;
  point(space, "pointermove", ...inside(space, 0.7, 0.2), 0); out.released = places() === dragged;
out.walls = space.querySelectorAll(".wall").length;
all(".card-head button").find((button) => button.textContent === "movie × tweets").click();
out.square = [...space.querySelectorAll(".point")].map((node) => [node.getAttribute("aria-label"),
  ...node.getAttribute("transform").match(/-?[\\d.]+/g).map(Number)]);
out.titles = [...space.querySelectorAll(".axis .name")].map((name) => name.textContent);
const node = space.querySelector(".point"); node.focus(); out.guides = space.querySelectorAll(".foot").length;
  out.tooltip = !one("#tooltip").hidden;
"""


def test_the_front_in_space_turns_by_drag_and_keys_and_stands_square_to_its_walls(make_data, tmp_path):
    out = ask(make_data(3, full=True), tmp_path, SPACE, STILL)
    assert out["facets"] > 20
    assert out["walls"] == 3
    for fact in ("passes", "unmoved", "taken", "zoomed", "home", "turned", "tilted", "dragged", "released", "tooltip"):
        assert out[fact], fact
    assert out["titles"] == ["movie loss", "tweets loss"]
    assert out["guides"] in (3, 6)
    shown = [re.search(r"movie loss (0\.\d+).*tweets loss (0\.\d+)", label).groups() for label, _, _ in out["square"]]
    values = np.array(shown, dtype=float)
    for axis, sign in ((0, 1), (1, -1)):  # an ordinary scatter: exact up to the rounding of what is spoken
        place = np.array([row[1 + axis] for row in out["square"]])
        slope, offset = np.polyfit(values[:, axis], place, 1)
        assert slope * sign > 0
        assert np.abs(slope * values[:, axis] + offset - place).max() < abs(slope) * 1e-3


BRUSH = """
const zones = all(".zone"), zone = zones[1], box = zone.getBoundingClientRect(), x = box.left + box.width / 2;
const drag = (from, to) => { point(zone, "pointerdown", x, box.top + from * box.height);
  point(zone, "pointermove", x, box.top + to * box.height); point(zone, "pointerup", x, box.top + to * box.height); };
out.start = rowsOut(); drag(0, 0.5); out.dragged = rowsOut(); out.count = one(".count").textContent;
out.strands = all(".strand").filter((strand) => strand.parentNode.classList.contains("out")).length;
out.matrix = all(".cell .out").length > 0; out.scatter = all(".chart .point.out").length;
out.ends = all(".range-row")[1].querySelector(".number").textContent;
drag(0.3, 0.32); out.moved = rowsOut();
pick("axes", "both"); out.kept = rowsOut(); out.axes = all(".zone").length; pick("axes", "objectives");
const again = all(".zone")[1]; point(again, "pointerdown", x, box.top + 0.9 * box.height);
  point(again, "pointerup", x, box.top + 0.9 * box.height); out.cleared = rowsOut();
const [worst, best] = all(".range-row")[1].querySelectorAll("input");
worst.value = 50; worst.dispatchEvent(new Event("input")); out.keyed = rowsOut();
  out.spoken = worst.getAttribute("aria-valuetext");
best.value = 20; best.dispatchEvent(new Event("input")); out.pushed = Number(worst.value);
all(".brush-bar button")[0].click(); out.button = rowsOut(); out.gone = all(".brush-bar button")[0].hidden;
out.sliders = [worst.value, best.value];
"""


def test_brushing_greys_out_points_everywhere_and_keys_do_the_same(make_data, tmp_path):
    data = make_data(5)
    out = ask(data, tmp_path, BRUSH)
    values = data.scores.values[:, 1]
    low, high = values.min(), values.max()
    assert out["start"] == []
    best, worst = sorted(float(end) for end in re.findall(r"0\.\d+", out["ends"]))
    assert best == pytest.approx(low, abs=2e-3)
    assert worst == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    certain = np.abs(values - worst) > 0.02 * (high - low)
    expected = values > worst
    assert {row for row in out["dragged"] if certain[row]} == set(np.flatnonzero(expected & certain).tolist())
    assert out["count"].startswith(f"{len(values) - len(out['dragged'])} of {len(values)} points")
    assert out["strands"] == len(out["dragged"])
    assert out["scatter"] == 2 * len(out["dragged"])
    assert out["matrix"]
    assert set(out["kept"]) == set(out["moved"])
    assert out["axes"] == 10
    assert out["cleared"] == []
    middle = (low + high) / 2
    assert sorted(out["keyed"]) == np.flatnonzero(values > middle).tolist()
    assert float(out["spoken"]) == pytest.approx(middle, abs=1e-2)
    assert out["pushed"] == 20
    assert (out["button"], out["gone"], out["sliders"]) == ([], True, ["0", "100"])


MATRIX = """
const cells = () => all(".cell"), focused = () => document.activeElement.getAttribute("aria-label");
out.cells = cells().length; out.tabs = cells().filter((cell) => cell.getAttribute("tabindex") === "0").length;
cells()[0].focus(); key(document.activeElement, "ArrowUp"); out.edge = focused();
  key(document.activeElement, "ArrowDown"); out.moved = focused();
key(document.activeElement, "Enter"); out.kept = focused();
out.shown = ["x", "y"].map((field) => one(`select[data-field="${field}"]`).selectedOptions[0].textContent);
out.pressed = all('.cell[aria-pressed="true"]').map((cell) => cell.getAttribute("aria-label"));
cells()[5].dispatchEvent(new Event("click"));
  out.clicked = all('.cell[aria-pressed="true"]').map((cell) => cell.getAttribute("aria-label"));
"""


def test_a_cell_of_the_scatter_matrix_is_shown_large(make_data, tmp_path):
    out = ask(make_data(5), tmp_path, MATRIX)
    assert (out["cells"], out["tabs"]) == (10, 1)
    assert out["edge"] == "amazon loss against movie loss"
    assert out["moved"] == out["kept"] == "tweets loss against movie loss"
    assert out["pressed"] == [out["moved"]]
    assert out["shown"] == ["movie loss", "tweets loss"]
    assert out["clicked"] == ["code loss against tweets loss"]


@pytest.mark.parametrize("tasks", [2, 5])
def test_charts_of_hostile_names_run_under_the_pages_own_policy(make_data, tmp_path, tasks):
    document = opened(page_html(make_data(tasks, hostile=True, full=True)), tmp_path)
    assert 'data-ready="yes"' in root_of(document)
    assert "data-hacked" not in root_of(document)


CONTOURS = """
const triangle = [[0, 0, 0], [1, 0, 1], [0, 1, 1]];
const out = { whole: clipped(triangle, 2, 1, -1).length, none: clipped(triangle, 2, 1, 2).length,
  half: outline(clipped(triangle, 2, 1, 0.5)) };
out.values = clipped(triangle, 2, -1, 0.25).map((corner) => corner[2]);
const grid = [[0, 0, 2], [0, 1, 1], [0, 2, 0], [1, 0, 1], [1, 1, 0], [2, 0,
  0]].map((row) => row.map((part) => part / 2));
out.triangles = gridTriangles(grid, 2).map((three) => [...three].sort().join("")).sort();
const scale = stepsOf([0, 1, 2, 3, 4, 5, 6, 7, 8, 100], true), up = stepsOf([-100, 1, 2, 3, 4, 5, 6, 7, 8, 9], false);
out.ends = [scale.edges[0], scale.edges[scale.edges.length - 1], scale.edges[scale.edges.length - 2], up.edges[1]];
out.colours = [scale.steps[0].colour, scale.steps[scale.steps.length - 1].colour, up.steps[0].colour];
out.flat = stepsOf([3, 3], true).steps.length;
"""


def test_contours_are_exact_on_triangles_and_spend_colours_where_one_would_choose(make_data, tmp_path):
    scripts = "".join(_template(name) for name in ("digits.js", "elements.js", "frame.js", "contours.js"))
    out = asked(page_html(make_data(2)), tmp_path, scripts + CONTOURS)
    assert (out["whole"], out["none"]) == (3, 0)
    assert out["half"] == "M0.5,0.0L1.0,0.0L0.0,1.0L0.0,0.5Z"
    assert max(out["values"]) == 0.25
    assert out["triangles"] == ["013", "124", "134", "345"]
    low, high, last, first = out["ends"]
    assert (low, high) == (0, 100)
    assert last <= 8
    assert first >= 1
    best, worst, bottom = out["colours"]
    assert best == "rgb(253,231,37)"
    assert worst == bottom == "rgb(68,1,84)"
    assert out["flat"] >= 1
