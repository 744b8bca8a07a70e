"""The page in a real browser: it runs without errors, and its controls work. Skipped without chromium."""

import csv
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import subprocess
from html import unescape

import pytest

from paretomerge.choices import ByWeights, Knee, ReferencePoint, Thresholds
from paretomerge.cli.options import parse_numbers
from paretomerge.errors import InfeasibleError
from paretomerge.reports.digits import decimals_for, show
from paretomerge.reports.page import SCRIPTS, _template, page_html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

WATCH = (
    "<script>addEventListener('error', e => document.documentElement.dataset.error = e.message);"
    "const refuse = e => document.documentElement.dataset.refused = e.violatedDirective;"
    "document.addEventListener('securitypolicyviolation', refuse);</script>"
)


def dumped(path, tmp_path) -> str:
    """The page's document after its scripts have run."""
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
        "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000",
        "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, timeout=60, check=True, env=environment)
    return done.stdout.decode("utf-8")


def opened(text: str, tmp_path, probe: str = "") -> str:
    """`text` with errors watched; a probe script runs at the end, for which the policy must go."""
    if probe:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
        text = text.replace("<title>", WATCH + "<title>")
        text = text.replace("</body>", f"<script>{probe}</script></body>")
    path = tmp_path / "report.html"
    path.write_text(text, "utf-8")
    return dumped(path, tmp_path)


def root_of(document: str) -> str:
    return re.search(r"<html[^>]*>", document).group(0)


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
const out = { charts: all(".chart svg.plot").length, points: all(".chart .point").length };
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
out.second = document.getElementById("tooltip").textContent; out.lit = all(".lit").length;
out.label = document.activeElement.getAttribute("aria-label");
key("Escape"); out.closed = document.getElementById("tooltip").hidden;
for (const select of all("select")) for (const option of select.options) {
  const again = document.querySelector(`select[data-field="${select.dataset.field}"]`);
  again.value = option.value; again.dispatchEvent(new Event("change"));
}
out.after = all(".chart svg.plot").length;
const Whole = Blob;
window.Blob = class extends Whole { constructor(parts, kind) { super(parts, kind); out.csv = parts.join(""); } };
URL.createObjectURL = () => "#";
document.getElementById("download").click();
const holder = document.createElement("output"); holder.textContent = JSON.stringify(out); document.body.append(holder);
"""


@pytest.mark.parametrize(("tasks", "charts"), [(2, 1), (3, 2), (5, 2)])
def test_controls_sort_filter_walk_and_redraw(make_data, tmp_path, tasks, charts):
    data = make_data(tasks, accuracy=tasks == 3)
    document = opened(page_html(data), tmp_path, PROBE)
    assert "data-error" not in root_of(document)
    out = json.loads(unescape(re.search(r"<output>(.*?)</output>", document, re.S).group(1)))
    predicted = data.scores.origin.count("predicted")
    assert out["charts"] == out["after"] == charts
    assert out["points"] == charts * len(data.scores)
    assert out["up"] == sorted(data.scores.values[:, -1].tolist())
    assert out["down"] == out["up"][::-1]
    assert out["sorted"] == ["descending"]
    assert out["left"] == charts * (len(data.scores) - predicted)
    assert out["hidden"] == predicted
    assert "weight movie" in out["first"]
    assert out["second"] != out["first"]
    assert out["lit"] == charts + 1
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


CHOOSE = """
const root = document.documentElement.dataset, all = (s) => [...document.querySelectorAll(s)], out = {};
const pick = (rule) => document.querySelector(`#chooser input[value="${rule}"]`).click();
const numbers = () => all("#chooser input[type=number]"), text = (s) => document.querySelector(s)?.textContent ?? null;
const put = (i, value) => { numbers()[i].value = value; numbers()[i].dispatchEvent(new Event("input")); };
const seen = () => ({
  title: text(".answer h3"), rule: text(".answer .rule"), command: text("#command"),
  cells: all(".answer tbody tr").map((row) => [...row.cells].map((cell) => cell.textContent)),
  alternatives: all(".alternatives > li").map((item) => item.firstChild.textContent.split(" (")[0]),
  picked: all(".chart .picked").length, out: all(".chart .out").length,
});
out.hidden = document.getElementById("choose").hidden;
out.chosen = seen();
pick("knee"); out.knee = seen();
pick("thresholds"); out.empty = text(".answer"); put(0, GOOD[0]); put(1, GOOD[1]); out.thresholds = seen();
put(0, BAD[0]); put(1, BAD[1]); out.refused = seen(); out.buttons = all(".answer button").length;
all(".answer button")[0].click(); out.relaxed = seen(); out.values = numbers().map((input) => input.value);
pick("reference"); put(1, GOOD[1]); out.reference = seen();
const slider = document.querySelector("#chooser input[type=range]");
const slide = (to) => { slider.value = to; slider.dispatchEvent(new Event("input")); return numbers()[0].value; };
out.slid = slide("100"); out.unset = slide("0");
pick("weights"); put(0, 3); put(1, 2); put(2, 2); out.weights = seen();
const fronts = document.querySelector("#chooser select");
fronts.value = "1"; fronts.dispatchEvent(new Event("change")); pick("knee"); out.joint = seen();
out.charts = all("#verified svg.plot").length; out.marks = all("#verified .mark").length;
const holder = document.createElement("output"); holder.textContent = JSON.stringify(out); document.body.append(holder);
"""


def answered(out, choice, front):
    """Whether the page says what Python says of a choice."""
    assert out["title"] == f"Point {choice.point.id}"
    assert out["rule"] == choice.rule
    assert out["alternatives"] == [f"Point {other.point.id}" for other in choice.alternatives]
    assert len(out["cells"]) == len(front.objectives)
    for cells, name in zip(out["cells"], choice.interval, strict=True):
        low, high = cells[2].split(" to ")
        shown = [float(cells[1]), float(low), float(high), float(cells[4])]
        assert shown == pytest.approx(
            [choice.point.values[name], *choice.interval[name], choice.gives_up[name]], abs=6e-4
        )


def test_the_chooser_answers_as_python_does_and_gives_the_command_for_it(make_data, tmp_path):
    data = make_data(3, full=True)
    good, bad = (data.front.values[:, :2].mean(axis=0) + 0.0001).tolist(), data.front.values[:, :2].min(axis=0).tolist()
    probe = CHOOSE.replace("GOOD", json.dumps(good)).replace("BAD", json.dumps(bad))
    document = opened(page_html(data), tmp_path, probe)
    assert "data-error" not in root_of(document)
    out = json.loads(unescape(re.search(r"<output>(.*?)</output>", document, re.S).group(1)))

    def chosen(rule, front=data.front, uncertainty=data.uncertainty):
        return rule.choose(front, uncertainty)

    wishes = dict(zip(("movie", "amazon"), good, strict=True))
    assert out["hidden"] is False
    assert (out["chosen"]["title"], out["chosen"]["command"]) == (f"Point {data.choice.id}", None)
    assert out["chosen"]["picked"] == 2
    assert "at least one limit" in out["empty"]
    answered(out["knee"], chosen(Knee()), data.front)
    answered(out["thresholds"], chosen(Thresholds(wishes)), data.front)
    answered(out["reference"], chosen(ReferencePoint({"amazon": good[1]})), data.front)
    weights = {"movie": 0.4286, "amazon": 0.2857, "tweets": 0.2857}
    answered(out["weights"], chosen(ByWeights(weights)), data.front)
    answered(out["joint"], chosen(Knee(), data.joint_front, None), data.joint_front)
    keeps = (data.front.values[:, :2] <= good).all(axis=1)
    assert out["thresholds"]["out"] == 2 * int((~keeps).sum())
    commands = {
        name: shlex.split(out[name]["command"]) for name in ("knee", "thresholds", "reference", "weights", "joint")
    }
    assert {tuple(words[:3]) for words in commands.values()} == {("paretomerge", "choose", "runs/a b")}
    assert [commands["knee"][3:], commands["joint"][3:]] == [["--knee"], ["--knee", "--joint"]]
    assert commands["thresholds"][3] == "--at-least"
    assert parse_numbers(commands["thresholds"][4], "") == wishes
    assert parse_numbers(commands["reference"][4], "") == {"amazon": good[1]}
    assert parse_numbers(commands["weights"][4], "") == weights
    assert float(out["slid"]) == pytest.approx(
        data.front.values[:, 0].max() / 2 + data.front.values[:, 0].min() / 2, abs=1e-3
    )
    assert out["unset"] == ""
    assert (out["charts"], out["marks"]) == (3, 3 * len(data.verification.truths))


def test_an_impossible_wish_is_refused_and_can_be_relaxed(make_data, tmp_path):
    data = make_data(3, full=True)
    good, bad = data.front.values[:, :2].mean(axis=0).tolist(), data.front.values[:, :2].min(axis=0).tolist()
    probe = CHOOSE.replace("GOOD", json.dumps(good)).replace("BAD", json.dumps(bad))
    document = opened(page_html(data), tmp_path, probe)
    out = json.loads(unescape(re.search(r"<output>(.*?)</output>", document, re.S).group(1)))
    with pytest.raises(InfeasibleError) as refusal:
        Thresholds({"movie": bad[0], "amazon": bad[1]}).choose(data.front)
    assert refusal.value.closest is not None
    assert out["refused"]["title"] == "No point keeps all limits"
    assert (out["refused"]["command"], out["refused"]["picked"]) == (None, 0)
    same = len(refusal.value.relax) == 1
    assert out["buttons"] == 1 + len(refusal.value.alone) - same
    assert out["relaxed"]["title"] == f"Point {refusal.value.closest.id}"
    values = refusal.value.closest.values
    expected = [
        values[name] if name in refusal.value.relax else limit
        for name, limit in zip(("movie", "amazon"), bad, strict=True)
    ]
    assert [float(value) for value in out["values"][:2]] == expected
