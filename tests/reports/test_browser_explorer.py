"""The explorer in a real browser: sliders, wishes, rules and commands say what Python says. Needs chromium."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shlex

import numpy as np
import pytest
import yaml
from tests.reports.browsing import asked, needs_browser, opened, root_of

from paretomerge.choices import ByWeights, Knee, ReferencePoint, Thresholds
from paretomerge.cli.options import parse_numbers
from paretomerge.errors import InfeasibleError
from paretomerge.reports.page import page_html

pytestmark = needs_browser

TOOLS = """
const out = {}, all = (s) => [...document.querySelectorAll(s)];
const text = (s) => document.querySelector(s)?.textContent ?? null;
const pick = (rule) => document.querySelector(`#explorer input[value="${rule}"]`).click();
const wishNumbers = () => all(".wishes input[type=number]"), weightNumbers = () => all(".weights input[type=number]");
const put = (node, value) => { node.value = value; node.dispatchEvent(new Event("input")); };
const wish = (i, value) => put(wishNumbers()[i], value), weigh = (i, value) => put(weightNumbers()[i], value);
const press = (label) => all("#explorer button").find((button) => button.textContent === label).click();
const seen = () => ({
  title: text(".answer h3"), rule: text(".answer .rule"), command: text("#command"), exported: text("#export-command"),
  yaml: text("#yaml"), words: text(".answer"), left: text(".left"),
  cells: all(".answer tbody tr").map((row) => [...row.cells].map((cell) => cell.textContent)),
  alternatives: all(".alternatives > li").map((item) => item.firstChild.textContent.split(" (")[0]),
  picked: all(".chart .picked").length, out: all("#points tbody tr.out").length,
  weights: weightNumbers().map((input) => Number(input.value)),
  checked: all(".rules input").filter((input) => input.checked).map((input) => input.value).join(),
});
"""


def answered(out, choice, front):
    """Whether the page says what Python says of a choice."""
    assert out["title"] == f"Point {choice.point.id}"
    assert out["rule"] == choice.rule
    assert out["alternatives"] == [f"Point {other.point.id}" for other in choice.alternatives]
    assert len(out["cells"]) == len(front.objectives)
    for cells, name in zip(out["cells"], choice.interval, strict=True):
        low, high = cells[2].split(" to ")
        shown = [float(cells[1]), float(low), float(high), float(cells[5])]
        expected = [choice.point.values[name], *choice.interval[name], choice.gives_up[name]]
        assert shown == pytest.approx(expected, abs=6e-4)
    assert out["weights"] == pytest.approx(list(choice.point.weights.values()), abs=5.1e-4)


RULES = """
out.hidden = document.getElementById("choose").hidden; out.chosen = seen();
pick("knee"); out.knee = seen();
pick("thresholds"); out.empty = text(".answer"); wish(0, GOOD[0]); wish(1, GOOD[1]); out.thresholds = seen();
press("Clear"); out.cleared = seen();
pick("reference"); wish(1, GOOD[1]); out.reference = seen();
const slide = (to) => { put(document.querySelector(".wishes input[type=range]"), to); return wishNumbers()[0].value; };
out.slid = slide("100"); out.unset = slide("0");
const fronts = document.querySelector("#explorer select");
fronts.value = "1"; fronts.dispatchEvent(new Event("change")); pick("knee"); out.joint = seen();
weigh(0, 0.5); out.near = seen();
out.charts = all("#verified svg.plot").length; out.marks = all("#verified .mark").length;
"""


def test_rules_answer_as_python_does_and_give_the_commands_for_it(make_data, tmp_path):
    data = make_data(3, full=True)
    good = (data.front.values[:, :2].mean(axis=0) + 0.0001).tolist()
    out = asked(page_html(data), tmp_path, TOOLS + RULES.replace("GOOD", json.dumps(good)))

    def chosen(rule, front=data.front, uncertainty=data.uncertainty):
        return rule.choose(front, uncertainty)

    wishes = dict(zip(("movie", "amazon"), good, strict=True))
    assert out["hidden"] is False
    assert (out["chosen"]["title"], out["chosen"]["command"]) == (f"Point {data.choice.id}", None)
    assert out["chosen"]["picked"] >= 2
    assert out["empty"] == "Set at least one wish."
    answered(out["knee"], chosen(Knee()), data.front)
    answered(out["thresholds"], chosen(Thresholds(wishes)), data.front)
    answered(out["reference"], chosen(ReferencePoint({"amazon": good[1]})), data.front)
    answered(out["joint"], chosen(Knee(), data.joint_front, None), data.joint_front)
    keeps = (data.scores.values[:, :2] <= good).all(axis=1)
    assert out["thresholds"]["out"] == int((~keeps).sum())
    assert out["cleared"]["out"] == 0
    names = ("knee", "thresholds", "reference", "joint", "near")
    commands = {name: shlex.split(out[name]["command"]) for name in names}
    assert {tuple(words[:3]) for words in commands.values()} == {("paretomerge", "choose", "runs/a b")}
    assert [commands["knee"][3:], commands["joint"][3:]] == [["--knee"], ["--knee", "--joint"]]
    assert commands["thresholds"][3] == "--at-least"
    assert parse_numbers(commands["thresholds"][4], "") == wishes
    assert parse_numbers(commands["reference"][4], "") == {"amazon": good[1]}
    knee = chosen(Knee()).point.id
    expected = ["paretomerge", "export", "runs/a b", "merged", "--point"]
    assert shlex.split(out["chosen"]["exported"]) == [*expected, "chosen"]
    assert shlex.split(out["knee"]["exported"]) == [*expected, str(knee)]
    joint = chosen(Knee(), data.joint_front, None).point.id
    assert shlex.split(out["joint"]["exported"])[5:] == [str(joint), "--joint"]
    # No grid of predictions belongs to the joint front: its nearest point answers.
    weights = parse_numbers(commands["near"][4], "")
    assert weights["movie"] == 0.5
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert out["near"]["rule"] == ByWeights(weights).choose(data.joint_front, None).rule
    low, high = data.front.values[:, 0].min(), data.front.values[:, 0].max()
    assert float(out["slid"]) == pytest.approx((low + high) / 2, abs=1e-3)
    assert out["unset"] == ""
    assert (out["charts"], out["marks"]) == (3, 3 * len(data.verification.truths))


def test_an_impossible_wish_is_refused_and_can_be_relaxed(make_data, tmp_path):
    data = make_data(3, full=True)
    bad = data.front.values[:, :2].min(axis=0).tolist()
    probe = """
    pick("thresholds"); wish(0, BAD[0]); wish(1, BAD[1]); out.refused = seen();
    out.buttons = all(".answer p button").length; press("Relax so"); out.relaxed = seen();
    out.values = wishNumbers().map((input) => input.value);
    """
    out = asked(page_html(data), tmp_path, TOOLS + probe.replace("BAD", json.dumps(bad)))
    with pytest.raises(InfeasibleError) as refusal:
        Thresholds({"movie": bad[0], "amazon": bad[1]}).choose(data.front)
    assert refusal.value.closest is not None
    assert out["refused"]["title"] == "No point keeps all wishes"
    assert (out["refused"]["command"], out["refused"]["picked"]) == (None, 0)
    assert out["buttons"] == 1 + len(refusal.value.alone) - (len(refusal.value.relax) == 1)
    assert out["relaxed"]["title"] == f"Point {refusal.value.closest.id}"
    values = refusal.value.closest.values
    names = ("movie", "amazon")
    expected = [values[n] if n in refusal.value.relax else limit for n, limit in zip(names, bad, strict=True)]
    assert [float(value) for value in out["values"][:2]] == expected


SLIDERS = """
out.before = seen();
weigh(0, 0.47); out.moved = seen();
const locks = all(".weights .lock"); locks[0].click();
out.pressed = locks.map((lock) => lock.getAttribute("aria-pressed"));
weigh(1, 0.4); out.locked = seen(); weigh(1, 0.9); out.most = seen();
locks[2].click(); weigh(1, 0.1); out.stuck = seen(); locks[0].click(); locks[2].click();
const slider = all(".weights input[type=range]")[2]; put(slider, "200"); out.corner = seen();
put(slider, "100"); out.back = seen(); out.spoken = slider.getAttribute("aria-valuetext");
press("Equal"); out.equal = seen();
press("Go there"); out.gone = seen();
document.querySelector(".theme select").value = "dark";
"""


def test_sliders_keep_the_sum_and_predict_live_what_the_grid_says(make_data, tmp_path):
    data = make_data(3, full=True)
    out = asked(page_html(data), tmp_path, TOOLS + SLIDERS)
    names = data.scores.tasks
    before, moved = np.array(out["before"]["weights"]), np.array(out["moved"]["weights"])
    assert moved[0] == 0.47
    np.testing.assert_allclose(moved[1] / moved[2], before[1] / before[2], rtol=0.02)
    assert (out["moved"]["checked"], out["moved"]["title"]) == ("own", "Your weighting")
    command = shlex.split(out["moved"]["exported"])
    assert command[:5] == ["paretomerge", "export", "runs/a b", "merged", "--weights"]
    weights = parse_numbers(command[5], "--weights")
    assert list(weights) == list(names)
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert yaml.safe_load(out["moved"]["yaml"]) == {"weights": weights}
    values, lower, upper = data.landscape.at([list(weights.values())])
    for j, cells in enumerate(out["moved"]["cells"]):
        low, high = cells[2].split(" to ")
        shown = [float(cells[1]), float(low), float(high)]
        assert shown == pytest.approx([values[0, j], lower[0, j], upper[0, j]], abs=6e-4)
    assert "Interpolated, to within ± 0.0012 nats." in out["moved"]["words"]
    assert out["pressed"] == ["true", "false", "false"]
    assert out["locked"]["weights"] == pytest.approx([0.47, 0.4, 0.13], abs=1e-9)
    assert out["most"]["weights"] == pytest.approx([0.47, 0.53, 0], abs=1e-9)
    assert out["stuck"]["weights"] == out["most"]["weights"]
    assert out["corner"]["weights"] == [0, 0, 1]
    # On the way back the others have the proportions that they had before they vanished.
    assert out["back"]["weights"] == pytest.approx([0.235, 0.265, 0.5], abs=6e-4)
    assert out["spoken"] == "0.500"
    assert out["equal"]["weights"] == pytest.approx([1 / 3] * 3, abs=5e-4)
    assert re.match(r"Point \d+", out["gone"]["title"])


WISHES = """
wish(0, LIMITS[0]); wish(1, LIMITS[1]); wish(2, LIMITS[2]); out.wished = seen();
out.sentences = all(".left > *").map((node) => node.textContent.trim());
out.verdicts = all(".answer .verdict").map((cell) => cell.textContent);
const box = document.getElementById("only-kept"); box.click();
out.rows = all("#points tbody tr").filter((row) => getComputedStyle(row).display !== "none").length;
out.count = text("#table-tools .hint");
const Whole = Blob; URL.createObjectURL = () => "#";
window.Blob = class extends Whole { constructor(parts, kind) { super(parts, kind); out.csv = parts.join(""); } };
document.getElementById("download").click();
press("Clear"); out.all = text("#table-tools .hint"); out.cleared = text(".left");
press("As shown"); out.same = wishNumbers().map((input) => Number(input.value));
out.kept = all(".answer .verdict").map((cell) => cell.textContent);
"""


def test_wishes_count_and_grey_out_and_filter_what_fails_them(make_data, tmp_path):
    data = make_data(3, full=True)
    limits = np.quantile(data.front.values, [0.5, 0.8, 0.9], axis=0).diagonal().tolist()
    limits[0] = round(float(data.front.values[data.choice.id, 0]) + 0.001, 4)  # kept, but not by the whole interval
    out = asked(page_html(data), tmp_path, TOOLS + WISHES.replace("LIMITS", json.dumps(limits)))
    kept = (data.front.values <= limits).all(axis=1).sum()
    assert out["sentences"][0] == f"{kept} of {len(data.front)} points of the front keep all wishes."
    share = (data.landscape.values <= limits).all(axis=1).mean()
    assert out["sentences"][1] == f"So do the predictions of {round(100 * share)} % of all weightings."
    excluded = (data.front.values > limits).sum(axis=0)
    assert out["sentences"][2].startswith(f"{data.scores.tasks[excluded.argmax()]} loss ≤ ")
    assert out["sentences"][2].endswith(f"excludes most: {excluded.max()} points.")
    chosen = data.front.values[data.choice.id]
    assert [word.startswith("✓") for word in out["verdicts"]] == (chosen <= limits).tolist()
    lower, upper = data.uncertainty.lower[data.choice.id], data.uncertainty.upper[data.choice.id]
    unsure = (lower <= limits) & (upper > limits)
    assert [word.endswith("not surely") for word in out["verdicts"]] == unsure.tolist()
    assert set(unsure.tolist()) == {True, False}
    all_kept = int((data.scores.values <= limits).all(axis=1).sum())
    assert out["wished"]["out"] == len(data.scores) - all_kept
    assert out["rows"] == all_kept
    assert out["count"] == f"{all_kept} of {len(data.scores)} points"
    rows = list(csv.reader(io.StringIO(out["csv"].lstrip("\ufeff"))))
    assert len(rows) == 1 + all_kept
    assert out["all"] == f"{len(data.scores)} points"
    assert out["cleared"] == f"No wish is set: all {len(data.front)} points of the front are left."
    assert (np.array(out["same"]) >= chosen).all()
    np.testing.assert_allclose(out["same"], chosen, atol=2e-3)
    assert all(word.startswith("✓") for word in out["kept"])


def test_names_that_no_command_can_hold_disable_copying_with_the_reason_and_others_are_quoted(make_data, tmp_path):
    data = make_data(3, hostile=True, full=True)
    probe = 'weigh(0, 0.3); out.own = seen(); out.disabled = all(".answer .copy button").map((one) => one.disabled);'
    out = asked(page_html(data), tmp_path, TOOLS + probe)
    assert out["own"]["exported"] is None
    assert "comma or control characters" in out["own"]["words"]
    assert out["disabled"][0] is True
    assert sum(yaml.safe_load(out["own"]["yaml"])["weights"].values()) == pytest.approx(1)

    names = ("it's <b>", "$(x) `y`", 'c" d')
    scores = dataclasses.replace(data.scores, tasks=names)
    front = dataclasses.replace(data.front, tasks=names)
    landscape = dataclasses.replace(data.landscape, tasks=names)
    plain = dataclasses.replace(
        data, scores=scores, front=front, landscape=landscape, choice=front[0],
        joint_front=None, joint_uncertainty=None, verification=None,
    )  # fmt: skip
    out = asked(page_html(plain), tmp_path, TOOLS + probe)
    words = shlex.split(out["own"]["exported"])
    assert list(parse_numbers(words[5], "")) == list(names)
    assert set(yaml.safe_load(out["own"]["yaml"])["weights"]) == set(names)


def test_without_a_grid_sliders_find_the_nearest_point_and_the_page_says_how_to_get_predictions(make_data, tmp_path):
    data = dataclasses.replace(make_data(3, full=True), landscape=None)
    text = page_html(data)
    out = asked(text, tmp_path, TOOLS + "weigh(0, 0.6); out.near = seen();")
    weights = parse_numbers(shlex.split(out["near"]["command"])[4], "")
    assert out["near"]["rule"] == ByWeights(weights).choose(data.front, data.uncertainty).rule
    assert "live predictions" in text
    assert "paretomerge front &#x27;runs/a b&#x27;" in text


def test_coefficients_are_set_one_by_one(make_data, tmp_path):
    data = make_data(2)
    front = dataclasses.replace(data.front, weights=data.front.weights * 0.7)
    data = dataclasses.replace(data, front=front, choice=None)
    out = asked(page_html(data), tmp_path, TOOLS + "weigh(0, 0.2); weigh(1, 0.6); out.near = seen();")
    assert out["near"]["weights"] == [0.2, 0.6]
    assert "Coefficients" in out["near"]["words"]


MAP = """
const fronts = document.querySelector("#explorer select");
fronts.value = "1"; fronts.dispatchEvent(new Event("change")); out.joint = seen();
const map = document.querySelector(".map svg.plot"), box = map.getBoundingClientRect();
const [clientX, clientY] = [box.left + 0.45 * box.width, box.top + 0.6 * box.height];
const at = { clientX, clientY, bubbles: true, button: 0, pointerId: 1 };
map.setPointerCapture = () => {};
for (const kind of ["pointerdown", "pointerup", "click"]) map.dispatchEvent(new PointerEvent(kind, at));
out.moved = seen(); out.front = fronts.value; out.probes = all(".map .probe").length;
"""


def test_a_click_on_the_map_sets_the_sliders_also_from_the_joint_front(make_data, tmp_path):
    out = asked(page_html(make_data(3, full=True)), tmp_path, TOOLS + MAP)
    assert (out["moved"]["title"], out["moved"]["checked"], out["front"]) == ("Your weighting", "own", "0")
    assert out["moved"]["weights"] != out["joint"]["weights"]
    assert sum(out["moved"]["weights"]) == pytest.approx(1, abs=2e-3)
    assert out["probes"] > 0


PAGE = """
out.links = all("#navigation a").map((link) => link.getAttribute("href"));
out.missing = out.links.filter((link) => !document.querySelector(link));
const select = document.querySelector(".theme select");
const paper = () => getComputedStyle(document.body).getPropertyValue("--paper");
let told = 0; document.addEventListener("themechange", () => told++);
const choose = (theme) => { select.value = theme; select.dispatchEvent(new Event("change")); return paper(); };
out.papers = ["light", "dark", ""].map(choose);
out.told = told;
const named = (node) => node.textContent.trim() || node.getAttribute("aria-label") || node.closest("label");
out.unnamed = all("button, input, select, a").filter((node) => !named(node)).length;
out.copies = all(".copy.command button").length;
"""


def test_navigation_themes_and_names_for_every_control(make_data, tmp_path):
    out = asked(page_html(make_data(3, full=True)), tmp_path, TOOLS + PAGE)
    assert out["links"][:3] == ["#summary", "#front", "#choose"]
    assert "#notes" in out["links"]
    assert out["missing"] == []
    assert out["papers"] == ["#ffffff", "#14171b", "#ffffff"]
    assert out["told"] == 3
    assert out["unnamed"] == 0
    assert out["copies"] >= 1


def test_the_system_may_wish_for_a_dark_page(make_data, tmp_path):
    probe = 'out.paper = getComputedStyle(document.body).getPropertyValue("--paper");'
    out = asked(page_html(make_data(2)), tmp_path, "const out = {};" + probe, "--blink-settings=preferredColorScheme=0")
    assert out["paper"] == "#14171b"


@pytest.mark.parametrize("tasks", [2, 5])
def test_the_explorer_runs_under_the_pages_own_policy(make_data, tmp_path, tasks):
    document = opened(page_html(make_data(tasks, full=True)), tmp_path)
    assert 'data-ready="yes"' in root_of(document)
    assert document.count('class="dial"') == tasks
    assert document.count('class="dial wish unset"') == tasks
