"""The page in a real browser: it runs without errors, and its controls work. Skipped without chromium."""

import csv
import dataclasses
import io
import json
import re
from html import unescape

import pytest
from tests.reports.browsing import needs_browser, opened, root_of

from paretomerge.reports.digits import decimals_for, show
from paretomerge.reports.page import SCRIPTS, _template, page_html

pytestmark = needs_browser


def test_the_page_runs_to_its_end_under_its_own_policy_with_hostile_names(make_data, tmp_path):
    data = make_data(3, hostile=True, accuracy=True, full=True)
    document = opened(page_html(data), tmp_path)
    assert 'data-ready="yes"' in root_of(document)
    assert "data-hacked" not in root_of(document)
    assert "<img" not in document
    points = document[document.index('id="points"') :]
    points = points[: points.index("</table>")]
    assert points.count("<tr ") == len(data.scores)


def test_a_page_without_scores_runs_and_hides_the_table_of_points(make_data, tmp_path):
    data = make_data(2)
    empty = dataclasses.replace(data, scores=data.scores.take([]), front=None, choice=None)
    document = opened(page_html(empty), tmp_path)
    assert 'data-ready="yes"' in root_of(document)
    assert re.search(r'<section id="all-points"[^>]* hidden', document)


PROBE = """
const root = document.documentElement.dataset, all = (s) => [...document.querySelectorAll(s)];
const out = { charts: all(".chart svg.plot[role]").length, points: all(".chart .point").length };
const column = (i) => all("#points tbody tr").map((row) => row.cells[i].dataset.key).map(Number);
const heads = all("#points thead button");
heads[heads.length - 1].click(); out.up = column(heads.length - 1);
heads[heads.length - 1].click(); out.down = column(heads.length - 1);
out.last = heads[heads.length - 1].textContent.replace(" [nats]", "");
out.sorted = all("#points th[aria-sort]").map((head) => head.getAttribute("aria-sort"));
const boxes = all("#controls input"); boxes[0].click();
out.left = all(".chart .point").length; out.hidden = all("#points tbody tr[hidden]").length; boxes[0].click();
const first = all('.chart .point[tabindex="0"]')[0]; first.focus();
const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
out.first = document.getElementById("tooltip").textContent; key("ArrowRight");
out.second = document.getElementById("tooltip").textContent; out.lit = all(".point.lit, tr.lit").length;
out.label = document.activeElement.getAttribute("aria-label");
key("Escape"); out.closed = document.getElementById("tooltip").hidden;
for (const select of all("select[data-field]")) for (const option of select.options) {
  const again = document.querySelector(`select[data-field="${select.dataset.field}"]`);
  again.value = option.value; again.dispatchEvent(new Event("change"));
}
out.after = all(".chart svg.plot[role]").length;
const Whole = Blob;
window.Blob = class extends Whole { constructor(parts, kind) { super(parts, kind); out.csv = parts.join(""); } };
URL.createObjectURL = () => "#";
document.getElementById("download").click();
const holder = document.createElement("output"); holder.textContent = JSON.stringify(out); document.body.append(holder);
"""


@pytest.mark.parametrize(("tasks", "charts", "marked"), [(2, 3, 3), (3, 5, 5), (5, 3, 2)])
def test_controls_sort_filter_walk_and_redraw(make_data, tmp_path, tasks, charts, marked):
    """`marked` of the charts have a mark per point: the cells of a scatter matrix have one path for all."""
    data = make_data(tasks, accuracy=tasks == 3)
    document = opened(page_html(data), tmp_path, PROBE)
    assert "data-error" not in root_of(document)
    out = json.loads(unescape(re.search(r"<output>(.*?)</output>", document, re.S).group(1)))
    predicted = data.scores.origin.count("predicted")
    assert out["charts"] == out["after"] == charts
    assert out["points"] == marked * len(data.scores)
    assert out["up"] == sorted(data.scores.values[:, -1].tolist())
    assert out["down"] == out["up"][::-1]
    assert out["sorted"] == ["descending"]
    assert out["left"] == marked * (len(data.scores) - predicted)
    assert out["hidden"] == predicted
    assert "weight movie" in out["first"]
    assert out["second"] != out["first"]
    assert out["lit"] == marked + 1
    assert re.search(r"movie loss 0\.\d+ ± 0\.\d+ nats", out["label"])
    assert out["closed"] is True
    header, *rows = csv.reader(io.StringIO(out["csv"].lstrip("\ufeff")))
    assert header[:5] == ["point", "origin", "on front", "chosen", "weight movie"]
    assert header[-2:] == [out["last"], out["last"] + " stderr"]
    assert [float(row[-2]) for row in rows] == data.scores.values[:, -1].tolist()
    assert [float(row[4]) for row in rows] == data.scores.weights[:, 0].tolist()
    assert [row[3] for row in rows].count("1") == 1


def test_the_page_and_the_tables_round_alike(make_data, tmp_path):
    columns = [
        ([0.3124, 0.2987], [0.011, 0.013]), ([12345.678, 1.0], []), ([-0.0001, 0.5], []), ([0.0], []), ([], []),
        ([1e-12, 3e-12], []), ([2.5e12, 1.0], []), ([5.0, 5.0], []), ([1234567.0, 3.0], [20.0, 30.0, 1e-3]),
    ]  # fmt: skip
    expected = [[show(value, decimals_for(*column)) for value in column[0]] for column in columns]
    probe = _template(SCRIPTS[0]) + (
        f"const columns = {json.dumps(columns)};"
        "const texts = columns.map(([v, h]) => v.map((value) => show(value, decimalsFor(v, h))));"
        "const holder = document.createElement('output'); holder.textContent = JSON.stringify(texts);"
        "document.body.append(holder);"
    )
    document = opened(page_html(make_data(2)), tmp_path, probe)
    assert json.loads(unescape(re.search(r"<output>(.*?)</output>", document, re.S).group(1))) == expected


def test_a_name_is_no_formula_in_the_csv(make_data, tmp_path):
    probe = (
        "const holder = document.createElement('output'); const Whole = Blob; URL.createObjectURL = () => '#';"
        "window.Blob = class extends Whole { constructor(parts, kind) {"
        " super(parts, kind); holder.textContent = JSON.stringify(parts.join('')); } };"
        "document.getElementById('download').click(); document.body.append(holder);"
    )
    data = make_data(3, hostile=True)
    text = opened(page_html(data), tmp_path, probe)
    written = json.loads(unescape(re.search(r"<output>(.*?)</output>", text, re.S).group(1)))
    header = next(csv.reader(io.StringIO(written)))
    assert header[-2].startswith("'=cmd|")
    assert not [name for name in header if name.startswith(("=", "+", "-", "@"))]
