// Reads the embedded results, draws everything, and redraws when a control changes.
const report = JSON.parse(document.getElementById("data").textContent);
const { points, objectives, tasks } = report;
report.onFront = new Set(report.front);
report.picked = null;
report.out = new Set();
report.decimals = objectives.map((_, j) =>
  decimalsFor(points.values.map((row) => row[j]), points.stderr.map((row) => report.interval * row[j])));
report.weightDecimals = Math.min(3, Math.max(2, decimalsFor(points.weights.flat(), [])));

const state = { view: 0, x: "", y: "", mapped: "", hidden: new Set() };
const controls = document.getElementById("controls"), charts = document.getElementById("charts");

function axisOf(key) {
  const index = Number(key.slice(1));
  if (key[0] === "o") {
    const objective = objectives[index];
    return {
      ...objective, lower: objective.direction === "minimise", column: index,
      value: (row) => points.values[row][index], half: (row) => report.interval * points.stderr[row][index],
    };
  }
  if (key[0] === "w") {
    const label = `weight of ${short(tasks[index], 36)}`;
    return { name: label, label, column: null, value: (row) => points.weights[row][index], half: () => 0 };
  }
  const columns = report.views[state.view].columns;  // the mean of comparable objectives
  const mean = (row) => columns.reduce((sum, j) => sum + points.values[row][j], 0) / columns.length;
  const first = objectives[columns[0]];
  return {
    ...first, name: `mean of ${columns.length} objectives`, label: `mean of ${columns.length} objectives`, lower: first.direction === "minimise", column: null,
    value: (row) => (columns.every((j) => points.values[row][j] !== null) ? mean(row) : null), half: () => 0,
  };
}

function choicesOf(columns, withWeights) {
  const choices = columns.map((j) => [`o${j}`, short(objectives[j].name, 40)]);
  return withWeights ? choices.concat(tasks.map((task, t) => [`w${t}`, `weight ${short(task, 34)}`])) : choices;
}

function picker(label, choices, field) {
  const select = html("select", {}, choices.map(([key, text]) => {
    const option = html("option", { value: key }, text);
    option.selected = String(state[field]) === key;
    return option;
  }));
  select.dataset.field = field;
  select.addEventListener("change", () => {
    state[field] = field === "view" ? Number(select.value) : select.value;
    if (field === "view") resetAxes();
    draw();
    const again = document.querySelector(`select[data-field="${field}"]`);
    if (again) again.focus();
  });
  return html("label", {}, [label, select]);
}

// Only objectives of one unit, direction and metric have a mean that says anything.
function comparable(columns) {
  const kinds = columns.map((j) => [objectives[j].direction, objectives[j].unit, objectives[j].metric].join("\n"));
  return columns.length > 1 && new Set(kinds).size === 1;
}

function resetAxes() {
  const { columns } = report.views[state.view];
  state.x = columns.length > 1 ? `o${columns[0]}` : "w0";
  state.y = `o${columns[columns.length > 1 ? 1 : 0]}`;
  state.mapped = comparable(columns) ? "mean" : `o${columns[0]}`;
}

function card(tools, chart, wide) {
  const parts = tools.length ? [html("div", { class: "controls" }, tools), chart] : [chart];
  charts.append(html("div", { class: wide ? "chart wide" : "chart" }, parts));
}

function draw() {
  hideTooltip();
  for (const [row, nodes] of drawn) drawn.set(row, nodes.filter((node) => node.tagName === "TR"));
  const { columns } = report.views[state.view];
  const visible = points.origin.map((_, row) => row).filter((row) => !state.hidden.has(points.origin[row]));
  charts.replaceChildren();
  if (columns.length > 3) card([], parallel(report, visible, columns), true);
  const both = choicesOf(columns, true);
  const pair = [picker("across", both, "x"), picker("up", both, "y")];
  const mapped = tasks.length === 3 && report.mappable;
  card(pair, scatter(report, visible, axisOf(state.x), axisOf(state.y), !mapped), !mapped);
  if (mapped) {
    const choices = choicesOf(columns, false);
    if (comparable(columns)) choices.unshift(["mean", "mean of the objectives"]);
    card([picker("map of", choices, "mapped")], ternary(report, visible, axisOf(state.mapped)), false);
  }
  for (const line of document.querySelectorAll("#points tbody tr")) line.hidden = state.hidden.has(line.dataset.origin);
  showPicked();
}

function originBox({ key, label, meaning }) {
  const box = html("input", { type: "checkbox", checked: "" });
  box.addEventListener("change", () => {
    if (box.checked) state.hidden.delete(key);
    else state.hidden.add(key);
    draw();
  });
  const count = points.origin.filter((origin) => origin === key).length;
  return html("label", { title: meaning }, [box, keySymbol(key), `${label} (${count})`]);
}

function drawControls() {
  const group = html("fieldset", {}, [html("legend", {}, "Show"), ...report.origins.map(originBox)]);
  controls.append(group);
  if (report.chosen !== null) {
    const star = svg("svg", { width: 18, height: 18, class: "plot", "aria-hidden": "true" }, svg("path", { d: starPath(9, 9.5, 8), class: "star" }));
    controls.append(html("span", { class: "key" }, [star, "chosen"]));
  }
  if (report.views.length > 1) {
    controls.append(picker("objectives", report.views.map(({ label }, i) => [String(i), label]), "view"));
  }
}

// The point that the chooser has found, and those that do not keep its limits, in every chart.
function markPicked(row, out) {
  for (const known of [report.picked, ...report.out]) for (const node of drawn.get(known) || []) node.classList.remove("picked", "out");
  report.picked = row;
  report.out = new Set(out);
  showPicked();
}

function showPicked() {
  for (const node of drawn.get(report.picked) || []) node.classList.add("picked");
  for (const row of report.out) for (const node of drawn.get(row) || []) node.classList.add("out");
}

const onSimplex = (w) => w.every((v) => v >= -1e-9) && Math.abs(w.reduce((a, b) => a + b, 0) - 1) < 1e-6;
// Scaling coefficients, a few of which happen to sum to one, are no task weights.
report.mappable = points.weights.filter(onSimplex).length >= points.weights.length / 2;
resetAxes();
if (points.origin.length) {
  drawControls();
  document.getElementById("points").append(pointsTable(report));
  draw();
  document.getElementById("hint").textContent =
    "Bars are ± 1.96 standard errors. Dotted lines join points at the same weighting. " +
    (report.lines.some((line) => !line.origin) ? "The line without colour is the estimated front. " : "") +
    (report.lines.some((line) => line.origin) ? "A coloured line joins the non-dominated points of its colour. " : "") +
    "Point at a mark, or tab to a chart and use the arrow keys, for its weights and values.";
  document.getElementById("download").addEventListener("click", () => download("points.csv", csvOf(report)));
} else {
  charts.append(html("p", { class: "empty" }, "No model has been scored yet."));
  document.getElementById("all-points").hidden = true;
}
if (report.chooser) drawChooser(report, markPicked);
drawVerified(report);
for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
document.documentElement.dataset.ready = "yes";
