// Choosing a point of a front: rules with their settings on one side, the answer on the other.
const STEPS = 200;

const wish = { front: 0, rule: "knee", limits: [], goals: [], weights: [], best: null };
const RULES = [
  ["chosen", "as chosen in the run"], ["knee", "knee"], ["thresholds", "at least this good"],
  ["reference", "near wished-for values"], ["weights", "near task weights"],
];
const HELP = {
  chosen: "The point this run has chosen.",
  knee: "Where giving up a little of one objective costs most of another.",
  thresholds: "The best point among those that keep every limit. Leave a field empty for no limit.",
  reference: "The point whose largest shortfall from the wishes is smallest, or that goes furthest beyond them.",
  weights: "The point whose task weights are closest; the numbers are divided by their sum.",
};

function resetWishes(front) {
  wish.limits = front.objectives.map(() => null);
  wish.goals = front.objectives.map(() => null);
  wish.weights = front.tasks.map(() => 1);
  wish.best = null;
}

// Task weights with four decimals that sum to one, as the command line wants them; coefficients as they are.
function askedWeights(front) {
  if (!front.on_simplex) return wish.weights;
  const sum = wish.weights.reduce((a, b) => a + b, 0);
  const shares = wish.weights.map((weight) => Math.round(1e4 * (sum > 0 ? weight / sum : 1 / wish.weights.length)));
  shares[shares.indexOf(Math.max(...shares))] += 1e4 - shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / 1e4);
}

function answerOf(report, front) {
  const { chosen } = report.chooser;
  if (wish.rule === "chosen") return { point: chosen.point, rule: chosen.rule || "the run's choice" };
  if (wish.rule === "knee") return chooseKnee(front);
  if (wish.rule === "weights") return chooseWeights(front, askedWeights(front));
  const wishes = wish.rule === "thresholds" ? wish.limits : wish.goals;
  if (wishes.every((value) => value === null)) return null;
  return wish.rule === "thresholds" ? chooseThresholds(front, wish.limits, wish.best) : chooseReference(front, wish.goals);
}

// In single quotes when a shell would read it in another way.
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\"'\"'")}'`);

function commandOf(report, front) {
  const pairs = (names, values) => {
    const given = names.map((name, i) => [name, values[i]]).filter(([, value]) => value !== null);
    return given.some(([name]) => name === null) ? null : quoted(given.map(([name, value]) => `${name}=${value}`).join(","));
  };
  let options = "--knee";
  if (wish.rule === "chosen") return null;
  if (wish.rule === "weights") options = ["--weights", pairs(front.task_options, askedWeights(front))];
  if (wish.rule === "reference") options = ["--reference", pairs(front.options, wish.goals)];
  if (wish.rule === "thresholds") {
    options = ["--at-least", pairs(front.options, wish.limits)];
    if (wish.best !== null) options.push("--best", front.options[wish.best] === null ? null : quoted(front.options[wish.best]));
  }
  if ([].concat(options).includes(null)) return "";
  return `${report.chooser.command} ${[].concat(options).join(" ")}${front.flag}`;
}

// Settings are finer than answers, which show no more than their intervals support.
const decimalsOf = (front, j) => decimalsFor(front.values.map((row) => row[j]), []) + 1;
// Objectives of one unit have as many decimals.
function shownDecimals(front, j) {
  const own = (k) => decimalsFor(front.values.map((row) => row[k]),
    front.intervals.map((ends) => (ends[k].includes(null) ? 0 : (ends[k][1] - ends[k][0]) / 2)));
  return Math.min(8, Math.max(...front.units.map((unit, k) => (unit === front.units[j] ? own(k) : 0))));
}
const withUnit = (front, j, text) => (front.units[j] ? `${text} ${front.units[j]}` : text);

// A slider from the worst value of the front to the best, beside the number itself; empty for no wish.
function wishRow(front, wishes, j, changed) {
  const column = front.values.map((row) => row[j]), low = Math.min(...column), high = Math.max(...column);
  const [worst, best] = front.lower[j] ? [high, low] : [low, high], decimals = Math.min(100, decimalsOf(front, j));
  const at = (value) => (value === null || best === worst ? 0 : Math.round((STEPS * (value - worst)) / (best - worst)));
  const sign = wish.rule === "thresholds" ? (front.lower[j] ? "≤" : "≥") : "≈", name = front.labels[j];
  const slider = html("input", { type: "range", min: 0, max: STEPS, "aria-label": `${name}, from its worst to its best value on the front` });
  const number = html("input", { type: "number", step: "any", "aria-label": name, placeholder: wish.rule === "thresholds" ? "no limit" : "no wish" });
  const show_ = () => {
    number.value = wishes[j] === null ? "" : String(wishes[j]);
    slider.value = String(at(wishes[j]));
    slider.setAttribute("aria-valuetext", wishes[j] === null ? "none" : String(wishes[j]));
  };
  slider.addEventListener("input", () => {
    const value = worst + (Number(slider.value) / STEPS) * (best - worst);
    wishes[j] = slider.value === "0" ? null : Number(value.toFixed(decimals));
    number.value = wishes[j] === null ? "" : String(wishes[j]);
    changed();
  });
  number.addEventListener("input", () => {
    wishes[j] = number.value === "" || !Number.isFinite(Number(number.value)) ? null : Number(number.value);
    slider.value = String(at(wishes[j]));
    changed();
  });
  show_();
  const range = `${show(worst, decimals - 1)} to ${withUnit(front, j, show(best, decimals - 1))}`;
  return html("div", { class: "wish" }, [html("span", { class: "name" }, [short(name, 40), html("small", {}, range)]), slider, html("span", {}, sign), number]);
}

function weightRow(front, t, changed) {
  const most = front.on_simplex ? 1 : Math.max(1, ...front.weights.flat()), name = `weight of ${front.tasks[t]}`;
  const slider = html("input", { type: "range", min: 0, max: STEPS, "aria-label": name });
  const number = html("input", { type: "number", min: 0, step: "any", "aria-label": name });
  slider.value = String(Math.round((STEPS * wish.weights[t]) / most));
  number.value = String(wish.weights[t]);
  slider.addEventListener("input", () => {
    wish.weights[t] = Number(((Number(slider.value) / STEPS) * most).toFixed(3));
    number.value = String(wish.weights[t]);
    changed();
  });
  number.addEventListener("input", () => {
    wish.weights[t] = Math.max(0, Number(number.value) || 0);
    slider.value = String(Math.round((STEPS * wish.weights[t]) / most));
    changed();
  });
  return html("div", { class: "wish" }, [html("span", { class: "name" }, short(front.tasks[t], 40)), slider, html("span"), number]);
}

function bestPicker(front, changed) {
  const words = ["the objectives without a limit", ...front.labels];
  const select = html("select", {}, words.map((word, i) => html("option", { value: i - 1 }, short(word, 44))));
  select.value = wish.best === null ? "-1" : String(wish.best);
  select.addEventListener("change", () => { wish.best = select.value === "-1" ? null : Number(select.value); changed(); });
  return html("label", { class: "best" }, ["then best on ", select]);
}

function settingsOf(front, changed) {
  if (wish.rule === "thresholds") return [...front.objectives.map((_, j) => wishRow(front, wish.limits, j, changed)), bestPicker(front, changed)];
  if (wish.rule === "reference") return front.objectives.map((_, j) => wishRow(front, wish.goals, j, changed));
  return wish.rule === "weights" ? front.tasks.map((_, t) => weightRow(front, t, changed)) : [];
}

function differences(front, from, to) {
  const worse = (j) => (front.values[to][j] - front.values[from][j]) * (front.lower[j] ? 1 : -1);
  const parts = front.labels.map((label, j) => {
    const change = worse(j);
    if (change === 0) return null;
    const size = withUnit(front, j, show(Math.abs(change), shownDecimals(front, j)));
    return html("li", { class: change < 0 ? "gain" : "loss" }, `${change < 0 ? "gains" : "loses"} ${size} on ${short(label, 40)}`);
  });
  return parts.filter((part) => part);
}

const weightsText = (front, i) => front.tasks.map((task, t) => `${short(task, 30)} ${show(front.weights[i][t], 3)}`).join(", ");

function pointTable(front, i) {
  const head = (text, numeric) => html("th", { scope: "col", class: numeric ? "number" : null }, text);
  const cell = (text) => html("td", { class: "number" }, text);
  const rows = front.labels.map((label, j) => {
    const column = front.values.map((row) => row[j]), decimals = shownDecimals(front, j);
    const best = front.lower[j] ? Math.min(...column) : Math.max(...column), [low, high] = front.intervals[i][j];
    return html("tr", {}, [
      html("th", { scope: "row" }, front.units[j] ? `${short(label, 40)} [${front.units[j]}]` : short(label, 40)),
      cell(show(front.values[i][j], decimals)), cell(`${show(low, decimals)} to ${show(high, decimals)}`),
      cell(show(best, decimals)), cell(show(Math.abs(front.values[i][j] - best), decimals)),
    ]);
  });
  const heads = [head("objective"), head("value", true), head(`${general(100 * front.level, 3)} % interval`, true), head("best on the front", true), head("gives up", true)];
  return html("div", { class: "scroll" }, html("table", {}, [html("thead", {}, html("tr", {}, heads)), html("tbody", {}, rows)]));
}

function pointAnswer(front, { point, rule, feasible }) {
  const parts = [html("h3", {}, `Point ${point}`), html("p", { class: "rule" }, rule)];
  if (feasible) parts.push(html("p", { class: "hint" }, `${feasible.length} of ${front.values.length} points keep the limits.`));
  const sure = front.nondominated ? ` That no other point of this front beats it on everything has probability ${general(100 * front.nondominated[point], 3)} %.` : "";
  parts.push(pointTable(front, point));
  parts.push(html("p", {}, `${front.on_simplex ? "Weights" : "Coefficients"}: ${weightsText(front, point)} (${front.origins[point]}).${sure}`));
  if (front.alternatives[point].length) {
    parts.push(html("h4", {}, "Nearest alternatives"));
    parts.push(html("ul", { class: "alternatives" }, front.alternatives[point].map((other) =>
      html("li", {}, [`Point ${other} (${weightsText(front, other)})`, html("ul", {}, differences(front, point, other))]))));
  }
  return parts;
}

function refusal(front, { infeasible, words }, relaxed) {
  const said = (step) => `${short(front.labels[step.objective], 40)} from ${general(step.wished, 6)} to ${withUnit(front, step.objective, general(step.reached, 6))}`;
  const button = (steps) => {
    const node = html("button", { type: "button", class: "action" }, "Relax so");
    node.addEventListener("click", () => relaxed(steps));
    return node;
  };
  const alone = infeasible.alone.filter((step) => !(infeasible.relax.length === 1 && infeasible.relax[0].objective === step.objective && step.point === infeasible.closest));
  return [
    html("h3", {}, "No point keeps all limits"),
    html("p", { class: "rule" }, `None of the ${front.values.length} points is ${words}.`),
    html("p", {}, [`Point ${infeasible.closest} comes closest: relax ${infeasible.relax.map(said).join(" and ")}. `, button(infeasible.relax)]),
    ...alone.map((step) => html("p", {}, [`Or relax only ${said(step)} (point ${step.point}). `, button([step])])),
  ];
}

function copyable(text) {
  const code = html("code", { id: "command", tabindex: 0 }, text);
  const button = html("button", { type: "button", class: "action" }, "Copy");
  const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
  button.addEventListener("click", () => {
    const select = () => { getSelection().selectAllChildren(code); if (document.execCommand("copy")) done(); };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, select);
    else select();
  });
  return html("div", { class: "copy" }, [code, button]);
}

// `mark(row, out)` shows the point in the charts, and which rows do not keep the limits.
function drawChooser(report, mark) {
  const holder = document.getElementById("chooser"), { fronts, chosen } = report.chooser;
  const choices = html("fieldset", { class: "rules" }), settings = html("div", { class: "wishes" });
  const asked = html("div", { class: "asked" }), answer = html("div", { class: "answer", "aria-live": "polite" });
  const front = () => fronts[wish.front];

  function changed() {
    const found = answerOf(report, front()), feasible = found && found.feasible ? new Set(found.feasible) : null;
    const text = commandOf(report, front());
    if (!found) answer.replaceChildren(html("p", { class: "hint" }, wish.rule === "thresholds" ? "Set at least one limit." : "Set at least one wish."));
    else if (found.infeasible) answer.replaceChildren(...refusal(front(), found, relaxed));
    else {
      answer.replaceChildren(...pointAnswer(front(), found));
      if (text) answer.append(html("h4", {}, "To choose it in the run"), copyable(text));
      else if (text === "") answer.append(html("p", { class: "hint" }, "A name here holds a comma or control characters, which the command line cannot take: choose from Python."));
    }
    const { rows } = front();
    mark(found && !found.infeasible ? rows[found.point] : null, rows.filter((row, i) => row !== null && feasible && !feasible.has(i)));
  }

  function relaxed(steps) {
    for (const { objective, reached } of steps) wish.limits[objective] = reached;
    redraw();
  }

  function redraw() {
    const known = RULES.filter(([key]) => (key === "chosen" ? chosen && chosen.front === wish.front : key !== "weights" || front().tasks.length <= 30));
    if (!known.some(([key]) => key === wish.rule)) wish.rule = "knee";
    choices.replaceChildren(html("legend", {}, "Choose by"), ...known.map(([key, label]) => {
      const radio = html("input", { type: "radio", name: "rule", value: key });
      radio.checked = key === wish.rule;
      radio.addEventListener("change", () => { wish.rule = key; redraw(); document.querySelector(`#chooser input[value="${key}"]`).focus(); });
      return html("label", {}, [radio, label]);
    }));
    settings.replaceChildren(html("p", { class: "hint" }, HELP[wish.rule]), ...settingsOf(front(), changed));
    changed();
  }

  if (fronts.length > 1) {
    const select = html("select", {}, fronts.map(({ label }, i) => html("option", { value: i }, label)));
    select.addEventListener("change", () => { wish.front = Number(select.value); resetWishes(front()); redraw(); });
    asked.append(html("label", { class: "best" }, ["on ", select]));
    if (chosen) { wish.front = chosen.front; select.value = String(chosen.front); }
  }
  if (chosen) wish.rule = "chosen";
  resetWishes(front());
  asked.append(choices, settings);
  holder.append(asked, answer);
  document.getElementById("choose").hidden = false;
  redraw();
}
