// Which charts there are, side by side, with their tools and legends; all are drawn anew when a control or the width changes.
const state = { view: 0, x: "", y: "", zoom: "all", mode: "value", axes: "objectives", hidden: new Set(), turned: null };
const charts = document.getElementById("charts");

function setUpCharts(report) {
  scene.report = report;
  const { points } = report;
  report.onFront = new Set(report.front);
  report.decimals = report.objectives.map((_, j) =>
    decimalsFor(points.values.map((row) => row[j]), points.stderr.map((row) => report.interval * row[j])));
  report.weightDecimals = Math.min(3, Math.max(2, decimalsFor(points.weights.flat(), [])));
  if (report.spread) report.spread.at = new Map(report.spread.rows.map((row, at) => [row, { at }]));
  // Scaling coefficients, a few of which happen to sum to one, are no task weights.
  report.mappable = points.weights.filter(onSimplex).length >= points.weights.length / 2;
  resetAxes(report);
  if (!points.origin.length) {
    charts.append(html("p", { class: "empty" }, "No model has been scored yet."));
    return;
  }
  drawControls(report);
  draw(report);
  document.getElementById("hint").textContent = "Point at a mark, or tab to a chart and use the arrow keys, for its weights, values and intervals.";
  let width = charts.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(charts.clientWidth - width) < 8) return;
    width = charts.clientWidth;
    draw(report);
  }).observe(charts);
}

function resetAxes(report) {
  const { columns } = report.views[state.view];
  state.x = columns.length > 1 ? `o${columns[0]}` : "w0";
  state.y = `o${columns[columns.length > 1 ? 1 : 0]}`;
  state.turned = { azimuth: VIEWS[0][1], elevation: VIEWS[0][2], zoom: 1 };
}

function picker(report, label, choices, field) {
  const select = html("select", {}, choices.map(([key, text]) => {
    const option = html("option", { value: key }, text);
    option.selected = String(state[field]) === key;
    return option;
  }));
  select.dataset.field = field;
  select.addEventListener("change", () => {
    state[field] = field === "view" ? Number(select.value) : select.value;
    if (field === "view") resetAxes(report);
    draw(report);
    const again = document.querySelector(`select[data-field="${field}"]`);
    if (again) again.focus();
  });
  return html("label", {}, [label, select]);
}

function originBox(report, { key, label, meaning }) {
  const box = html("input", { type: "checkbox", checked: "" });
  box.addEventListener("change", () => {
    if (box.checked) state.hidden.delete(key);
    else state.hidden.add(key);
    draw(report);
  });
  const count = report.points.origin.filter((origin) => origin === key).length;
  return html("label", { title: meaning }, [box, keySymbol(key), `${label} (${count})`]);
}

function drawControls(report) {
  const controls = document.getElementById("controls");
  controls.append(html("fieldset", {}, [html("legend", {}, "Show"), ...report.origins.map((origin) => originBox(report, origin))]));
  if (report.chosen !== null) controls.append(html("span", { class: "key" }, [starSymbol(), "chosen"]));
  if (report.views.length > 1) controls.append(picker(report, "objectives", report.views.map(({ label }, i) => [String(i), label]), "view"));
}

// A titled frame of so many of twelve columns; `make(width)` draws into it once its width is known.
function card(title, tools, span, make) {
  const body = html("div", { class: "body" });
  const head = html("div", { class: "card-head" }, [html("h3", {}, title), ...(tools.length ? [html("div", { class: "controls" }, tools)] : [])]);
  const node = html("div", { class: `chart span-${span}` }, [head, body]);
  charts.append(node);
  const chart = make(Math.max(260, Math.round(body.clientWidth)));
  body.append(chart.node);
  scene.charts.push(chart);
  return { body, chart, head };
}

function draw(report) {
  hideTooltip();
  forgetCharts();
  const { columns } = report.views[state.view], { points, tasks } = report;
  const rows = points.origin.map((_, row) => row).filter((row) => !state.hidden.has(points.origin[row]));
  charts.replaceChildren();
  if (columns.length > 3) drawMany(report, rows, columns);
  else if (columns.length === 3) drawThree(report, rows, columns);
  else drawTwo(report, rows, columns);
  if (tasks.length === 3 && report.mappable) drawMaps(report, rows, columns);
  for (const line of document.querySelectorAll("#points tbody tr")) line.hidden = state.hidden.has(line.dataset.origin);
  bringUpToDate();
}

function pairPickers(report, columns) {
  const choices = columns.map((j) => [`o${j}`, short(report.objectives[j].name, 34)]).concat(report.tasks.map((task, t) => [`w${t}`, `weight of ${short(task, 28)}`]));
  return [picker(report, "across", choices, "x"), picker(report, "up", choices, "y")];
}

function scatterCard(report, rows, columns, title, span, height) {
  const tools = columns.length === 2 && report.tasks.length === 2 ? [] : pairPickers(report, columns);
  if (!tools.length && report.front.length > 1) tools.push(picker(report, "zoom", [["all", "all points"], ["front", "the front"]], "zoom"));
  const { body, chart } = card(title, tools, span, (width) =>
    scatter(report, rows, axisOf(report, state.x), axisOf(report, state.y), { width, height: height(width), zoomed: state.zoom === "front" && columns.length === 2 }));
  body.append(legendOf(scatterSigns(report, chart.signs || {})));
}

function scatterSigns(report, { bands = [], bars, links, lines = [] }) {
  const entries = bands.map((band) => [swatch(`band band-${band.origin}`), band.origin === "trained"
    ? `joint front, recalibrated (dashed): ${general(band.share, 3)} % band` : `front: ${general(band.share, 3)} % band`]);
  if (lines.some((line) => !line.origin)) entries.push([swatch("front line-front"), "estimated front"]);
  for (const line of lines) if (line.origin) entries.push([swatch(`front line-${line.origin}`), `non-dominated among ${report.origins.find(({ key }) => key === line.origin).label}`]);
  if (links) entries.push([swatch("link"), "same weighting"]);
  if (bars) entries.push([swatch("error line-merged"), "± 1.96 standard errors"]);
  return entries;
}

function drawTwo(report, rows, columns) {
  const along = report.tasks.length === 2 && report.mappable && columns.length === 2;
  scatterCard(report, rows, columns, "Both objectives", along ? 7 : 12, (width) => Math.round(Math.min(580, Math.max(320, width * (along ? 0.86 : 0.5)))));
  if (!along) return;
  const known = report.landscape && columns.every((j) => report.landscape.values[0][j] !== null);
  const holder = { body: null };
  columns.forEach((j, i) => {
    if (i === 0) holder.body = card("Along the weights", [], 5, (width) => profile(report, rows, j, { width, height: 296 })).body;
    else {
      const chart = profile(report, rows, j, { width: Math.max(260, holder.body.clientWidth), height: 296 });
      holder.body.append(chart.node);
      scene.charts.push(chart);
    }
  });
  if (known) holder.body.append(legendOf([[swatch("front line-predicted"), "predicted"], [swatch("band band-predicted"), `${general(100 * report.landscape.level, 3)} % interval`], ...MOVING]));
}

function drawThree(report, rows, columns) {
  const view = state.turned;
  let turned = null;
  const tools = viewButtons(report, columns, view, () => turned && turned.render());
  const { body, chart } = card("In space", tools, 6, (width) => space(report, rows, columns, { width, height: Math.round(Math.min(590, width * 0.9)), view }));
  turned = chart.render ? chart : null;
  body.append(legendOf([...(chart.facets ? [[swatch("band band-predicted"), "predicted front"]] : []), ...(chart.facets ? [] : [[swatch("shadow-key"), "the front on the walls"]])]));
  body.append(html("p", { class: "hint" }, "Drag or arrow keys turn it, wheel or + and − zoom, Home resets."));
  scatterCard(report, rows, columns, "Two at a time", 6, (width) => Math.round(Math.min(590, width * 0.91)));
}

function drawMany(report, rows, columns) {
  const keys = [...(state.axes === "both" ? report.tasks.map((_, t) => `w${t}`) : []), ...columns.map((j) => `o${j}`)];
  const tools = [picker(report, "axes", [["objectives", "objectives"], ["both", "weights and objectives"]], "axes")];
  const { body, chart } = card("All objectives", tools, 12, (width) => parallel(report, rows, keys, { width, height: 430 }));
  if (chart.axes) {
    const controls = rangeControls(report, rows, chart.axes);
    body.append(controls.node);
    scene.charts.push({ exclude: controls.update });
  }
  const choose = (x, y) => { state.x = x; state.y = y; draw(report); const cell = document.querySelector(".cell.current"); if (cell) cell.focus({ preventScroll: true }); };
  const drawnMatrix = card("Pairs", [], 6, (width) => matrix(report, rows, columns, { width, picked: state, choose }));
  const more = columns.length > MOST_IN_MATRIX ? ` The first ${MOST_IN_MATRIX} objectives are shown.` : "";
  drawnMatrix.body.append(html("p", { class: "hint" }, `Click a cell to see it large.${more}`));
  scatterCard(report, rows, columns, "One pair", 6, (width) => Math.round(width * 0.9));
}

function drawMaps(report, rows, columns) {
  const tools = [picker(report, "colour", [["value", "predicted value"], ["half", "uncertainty"]], "mode")];
  const mapped = columns.slice(0, 12);
  const head = html("div", { class: "card-head" }, [html("h3", {}, "Over the task weights"), html("div", { class: "controls" }, tools)]);
  const holder = html("div", { class: "maps" }), node = html("div", { class: "chart span-12" }, [head, holder]);
  charts.append(node);
  const frames = mapped.map((j) => {
    const body = html("figure", { class: "map" }, html("figcaption", {}, report.objectives[j].name));
    holder.append(body);
    return body;
  });
  const drawnMaps = mapped.map((j, i) => {
    const chart = ternary(report, rows, j, { width: Math.max(240, Math.round(frames[i].clientWidth)), mode: state.mode });
    frames[i].append(chart.node);
    scene.charts.push(chart);
    return chart;
  });
  const signs = [];
  if (report.front.length) signs.push([keyDot(), "on the front"]);
  if (rows.some((row) => report.points.origin[row] !== "predicted") && state.mode === "value") signs.push([keyMeasured(), "measured: coloured by its own value"]);
  if (drawnMaps.some((chart) => chart.far)) signs.push([hatchKey(), "no score says much here"]);
  node.append(legendOf(report.landscape ? [...signs, ...MOVING] : signs));
}

const MOVING = [["", "Click or drag to set the weights."]];
const keyDot = () => svg("svg", { width: 14, height: 14, class: "plot", "aria-hidden": "true" }, [svg("rect", { width: 14, height: 14, fill: viridis(0.55) }), svg("path", { d: markPath("predicted", 7, 7, 1.8), class: "dot small" })]);
const keyMeasured = () => svg("svg", { width: 32, height: 16, class: "plot", "aria-hidden": "true" }, ["merged", "trained"].flatMap((origin, i) => {
  const d = markPath(origin, 8 + 16 * i, 8, 5);
  return [svg("path", { d, class: "rim" }), svg("path", { d, class: "dot", fill: viridis(0.7) })];
}));
const hatchKey = () => svg("svg", { width: 22, height: 14, class: "plot", "aria-hidden": "true" }, svg("path", { d: "M0,7l7,-7M0,14l14,-14M7,14l14,-14M14,14l8,-8", class: "hatch" }));
