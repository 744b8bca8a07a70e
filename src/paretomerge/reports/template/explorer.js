// One place to choose: sliders for the weights, wishes for the objectives, rules that find a point, and what it means.
const RULES = [
  ["chosen", "as chosen in the run"], ["knee", "knee"], ["thresholds", "best that keeps the wishes"],
  ["reference", "nearest to the wishes"], ["own", "my own weights"],
];
const HELP = {
  chosen: "The point this run has chosen.",
  knee: "Where giving up a little of one objective costs most of another.",
  thresholds: "The best point among those that keep every wish below.",
  reference: "The point whose largest shortfall from the wishes is smallest, or that goes furthest beyond them.",
  own: "Any weighting: move a slider and the others make room.",
};
const UNWRITABLE = "A name here holds a comma or control characters, which the command line cannot take: use Python.";

const asked = { front: 0, rule: "knee", limits: [], best: null, weights: [], locked: [], memory: [], most: 1, onSimplex: true };

// The values of what was found; null where nothing was.
function valuesOf(front, found) {
  if (found && found.place) return front.columns.map((column) => found.place.predicted.values[column]);
  return found && found.point !== undefined ? front.values[found.point] : null;
}

function resetAsked(front) {
  asked.limits = front.objectives.map(() => null);
  asked.best = null;
  asked.onSimplex = front.on_simplex;
  asked.most = front.on_simplex ? 1 : Math.max(1, ...front.weights.flat());
  asked.locked = front.tasks.map(() => false);
  setWeights(front.tasks.map(() => 1 / front.tasks.length));
}

function setWeights(weights) {
  asked.weights = [...weights];
  if (weights.filter((weight) => weight > 1e-6).length > 1) asked.memory = [...weights];
}

const roundedWeights = () => (asked.onSimplex ? fourDecimals(asked.weights) : asked.weights.map((weight) => Number(weight.toFixed(4))));
// The grid belongs to the front of merged models.
const gridOf = (front) => (front.flag ? null : report.landscape);

// {point, rule}, {place: {weights, predicted}}, {infeasible}, or null where a wish is missing.
function answerOf(front) {
  const { chosen } = report.chooser;
  if (asked.rule === "chosen") return { point: chosen.point, rule: chosen.rule || "the run's choice" };
  if (asked.rule === "knee") return chooseKnee(front);
  if (asked.rule === "own") {
    const nearest_ = chooseWeights(front, roundedWeights()), exact = weightDistance(front, nearest_.point, asked.weights) < 5e-5;
    if (exact || !gridOf(front)) return nearest_;
    return { place: { weights: asked.weights, predicted: predictAt(asked.weights) } };
  }
  if (asked.limits.every((limit) => limit === null)) return null;
  return asked.rule === "thresholds" ? chooseThresholds(front, asked.limits, asked.best) : chooseReference(front, asked.limits);
}

// The command that chooses the same point in the run; null where a name cannot be written.
function chooseCommand(front) {
  let options = ["--knee"];
  if (asked.rule === "own") options = ["--weights", pairsText(front.task_options, roundedWeights())];
  if (asked.rule === "reference") options = ["--reference", pairsText(front.options, asked.limits)];
  if (asked.rule === "thresholds") {
    options = ["--at-least", pairsText(front.options, asked.limits)];
    if (asked.best !== null) options.push("--best", front.options[asked.best] === null ? null : quoted(front.options[asked.best]));
  }
  return options.includes(null) ? null : `${report.chooser.command} ${options.join(" ")}${front.flag}`;
}

function exportCommand(front, found) {
  const { export: start } = report.chooser;
  if (found.place || (asked.rule === "own" && !front.flag)) {
    const pairs = pairsText(front.task_options, roundedWeights());
    return pairs === null ? null : `${start} --weights ${pairs}`;
  }
  return `${start} --point ${asked.rule === "chosen" ? "chosen" : `${found.point}${front.flag}`}`;
}

function offers(front, found) {
  const weights = found.place || asked.rule === "own" ? roundedWeights() : front.weights[found.point];
  const parts = offered("Export this model", exportCommand(front, found), "export-command", UNWRITABLE);
  if (asked.rule !== "chosen" && !found.place) parts.push(...offered("Choose this point in the run", chooseCommand(front), "command", UNWRITABLE));
  const yaml = yamlOf(front.tasks, weights.map((weight) => Number(weight.toFixed(6)))), code = html("code", { id: "yaml", tabindex: 0 }, yaml);
  parts.push(html("details", { class: "yaml" }, [html("summary", {}, `${front.on_simplex ? "Weights" : "Coefficients"} as YAML`), html("div", { class: "copy" }, [code, copyButton(yaml, code)])]));
  return parts;
}

function bestPicker(front, changed) {
  const words = ["the objectives without a wish", ...front.labels];
  const select = html("select", {}, words.map((word, i) => html("option", { value: i - 1 }, short(word, 44))));
  select.value = asked.best === null ? "-1" : String(asked.best);
  select.addEventListener("change", () => { asked.best = select.value === "-1" ? null : Number(select.value); changed(); });
  return html("label", { class: "best" }, ["then best on ", select]);
}

// Wishes hold for every chart and table of the page, whatever rule is on.
function shareWishes(front) {
  const limits = asked.limits.map((limit, j) => ({ axis: `o${front.columns[j]}`, low: front.lower[j] ? null : limit, high: front.lower[j] ? limit : null }));
  setLimits("wishes", limits.filter((_, j) => asked.limits[j] !== null));
}

function drawExplorer() {
  const { fronts, chosen } = report.chooser, front = () => fronts[asked.front];
  const element = (name, text) => html("div", { class: name }, text);
  const settings = element("asked"), rules = html("fieldset", { class: "rules" }), help = html("p", { class: "hint" });
  const dials = html("fieldset", { class: "dials weights" }), wishes = html("fieldset", { class: "dials wishes" }), left = html("p", { class: "left" }), best = element("then");
  const answer = element("answer"), spoken_ = html("p", { class: "unseen", role: "status" });
  let rows = [], silence = null;

  function say(found) {
    clearTimeout(silence);
    silence = setTimeout(() => {
      const values = valuesOf(front(), found);
      const title = answer.querySelector("h3");
      spoken_.textContent = values ? `${title.textContent}: ${front().labels.map((label, j) => `${label} ${show(values[j], shownDecimals(front(), j))}`).join(", ")}` : answer.textContent;
    }, 700);
  }

  function changed() {
    const found = answerOf(front());
    if (found && !found.place && !found.infeasible && asked.rule !== "own") setWeights(front().weights[found.point]);
    if (!found) answer.replaceChildren(html("p", { class: "hint" }, "Set at least one wish."));
    else if (found.infeasible) answer.replaceChildren(...refusal(front(), found, relaxed));
    else {
      const parts = found.place
        ? placeAnswer(front(), found.place.weights, found.place.predicted, report.landscape.level, asked.limits, go)
        : pointAnswer(front(), found, asked.limits, go);
      answer.replaceChildren(...parts, ...offers(front(), found));
    }
    for (const row of rows) row.sync();
    left.replaceChildren(...countOf(front(), asked.limits, gridOf(front())).map((sentence, i) => (i ? html("span", {}, ` ${sentence}`) : html("strong", {}, sentence))));
    const point = found && found.point !== undefined ? found.point : null;
    markPicked(point === null ? null : front().rows[point]);
    showProbe(found && found.place ? { weights: found.place.weights, ...found.place.predicted } : null);
    say(found);
  }

  function wished() {
    shareWishes(front());
    changed();
  }

  function relaxed(steps) {
    for (const { objective, reached } of steps) asked.limits[objective] = reached;
    wished();
  }

  function go(weights) {
    setWeights(weights);
    setRule("own");
  }

  function move(t, value) {
    if (asked.onSimplex) setWeights(rescaled(asked.weights, t, value, asked.locked, asked.memory));
    else asked.weights[t] = value;
    setRule("own");
  }

  function setRule(key) {
    asked.rule = key;
    for (const radio of rules.querySelectorAll("input")) radio.checked = radio.value === key;
    help.textContent = key === "own" && !gridOf(front()) ? "The point of the front whose weights are closest to the sliders." : HELP[key];
    best.replaceChildren(...(key === "thresholds" ? [bestPicker(front(), changed)] : []));
    changed();
  }

  function redraw() {
    const many = front().tasks.length > 30;
    const known = RULES.filter(([key]) => (key === "chosen" ? chosen && chosen.front === asked.front : key !== "own" || !many));
    rules.replaceChildren(html("legend", {}, "Choose by"), ...known.map(([key, label]) => {
      const radio = html("input", { type: "radio", name: "rule", value: key });
      radio.addEventListener("change", () => setRule(key));
      return html("label", {}, [radio, label]);
    }));
    const weightRows = many ? [] : front().tasks.map((task, t) => weightRow(task, t, asked, move));
    const wishRows = front().objectives.map((_, j) => wishRow(front(), asked.limits, j, wished));
    rows = [...weightRows, ...wishRows];
    const equal = action("Equal", () => go(front().tasks.map(() => (asked.onSimplex ? 1 / front().tasks.length : asked.most / 2))));
    const clear = action("Clear", () => { asked.limits.fill(null); for (const input of wishes.querySelectorAll("input[type=number]")) input.value = ""; wished(); });
    const current = action("As shown", () => {
      const values = valuesOf(front(), answerOf(front()));
      if (!values) return;
      values.forEach((value, j) => { asked.limits[j] = roundedWorse(value, front(), j); });
      wished();
    });
    current.title = "wish for at least what the weighting shown here reaches";
    dials.replaceChildren(html("legend", {}, front().on_simplex ? "Weights" : "Coefficients"), element("tools", [equal]), ...weightRows.map((row) => row.node));
    dials.hidden = many;
    wishes.replaceChildren(html("legend", {}, "Wishes"), element("tools", [current, clear]), ...wishRows.map((row) => row.node), left);
    setRule(known.some(([key]) => key === asked.rule) ? asked.rule : "knee");
    shareWishes(front());
  }

  function showFront(number) {
    asked.front = number;
    fronts_.value = String(number);
    resetAsked(front());
    redraw();
  }

  const fronts_ = html("select", {}, fronts.map(({ label }, i) => html("option", { value: i }, label)));
  fronts_.addEventListener("change", () => showFront(Number(fronts_.value)));
  if (fronts.length > 1) settings.append(html("label", { class: "best" }, ["on ", fronts_]));
  if (chosen) {
    asked.rule = "chosen";
    asked.front = chosen.front;
    fronts_.value = String(chosen.front);
  }
  resetAsked(front());
  settings.append(rules, help, best, dials, wishes);
  document.getElementById("explorer").append(settings, answer, spoken_);
  document.getElementById("choose").hidden = false;
  if (gridOf(fronts[0])) {
    report.moveProbe = (weights) => {  // from a chart: the grid is that of the first front
      if (asked.front) showFront(0);
      go(weights);
    };
  }
  redraw();
}

// Rounded to what a wish shows, towards the worse side, so that the value itself keeps it.
function roundedWorse(value, front, j) {
  const scale = 10 ** Math.min(15, decimalsOf(front, j)), scaled = value * scale;
  const rounded = (front.lower[j] ? Math.ceil(scaled - 1e-9) : Math.floor(scaled + 1e-9)) / scale;
  return Number.isFinite(rounded) && keeps(front, j, value, rounded) ? rounded : value;
}
