// What a mark says when it is pointed at or reached by the keyboard.
const tooltip = document.getElementById("tooltip");

function valueText(report, row, j) {
  const value = report.points.values[row][j], unit = report.objectives[j].unit, ends = endsOf(report, row, j);
  const known = report.spread && report.spread.at.has(row) && report.spread.columns.includes(j);
  const decimals = report.decimals[j];
  const interval = !ends ? "" : known ? ` [${show(ends[0], decimals)}, ${show(ends[1], decimals)}]` : ` ± ${show(report.interval * report.points.stderr[row][j], decimals)}`;
  return show(value, decimals) + interval + (unit ? ` ${unit}` : "");
}

function describe(report, row) {
  const { points, objectives, tasks } = report;
  const words = [report.origins.find((known) => known.key === points.origin[row]).label];
  if (report.onFront.has(row)) words.push("on the front");
  if (report.chosen === row) words.push("chosen");
  const known = report.spread && report.spread.at.has(row);
  return {
    heading: words.join(", "),
    weights: tasks.map((task, t) => [task, show(points.weights[row][t], report.weightDecimals)]),
    values: objectives.map((objective, j) => [objective.name, j]).filter(([, j]) => points.values[row][j] !== null)
      .map(([name, j]) => [name, valueText(report, row, j)]),
    note: known ? `in brackets: ${general(100 * report.spread.level, 3)} % interval` : "",
  };
}

function spoken(report, row) {
  const { heading, weights, values } = describe(report, row);
  const pairs = (list) => list.map(([name, text]) => `${name} ${text}`).join(", ");
  return `${heading}; weights ${pairs(weights)}; ${pairs(values)}`;
}

function fillTooltip({ heading, weights, values, note }, x, y) {
  const line = (name, text, gap) =>
    html("tr", { class: gap ? "gap" : null }, [html("td", {}, short(name, 40)), html("td", { class: "number" }, text)]);
  const body = html("tbody", {}, [
    ...weights.map(([task, text]) => line(`weight ${task}`, text)),
    ...values.map(([name, text], i) => line(name, text, i === 0)),
  ]);
  tooltip.replaceChildren(html("strong", {}, heading), html("table", {}, body), note ? html("small", {}, note) : "");
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - box.width - 16 : x + 16;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, Math.min(y - box.height / 2, innerHeight - box.height - 4))}px`;
}

function showTooltip(report, row, x, y) {
  fillTooltip(describe(report, row), x, y);
  light(row);
}

function hideTooltip() {
  tooltip.hidden = true;
  light(null);
}

// One tab stop per chart; arrow keys walk its points, Home and End jump, Escape hides the tooltip.
function makeWalkable(report, chart, nodes) {
  nodes.forEach(({ node, row }, i) => {
    fill(node, { tabindex: i ? -1 : 0, role: "img", "aria-label": spoken(report, row) });
    node.addEventListener("focus", () => {
      const box = node.getBoundingClientRect();
      showTooltip(report, row, box.left + box.width / 2, box.top + box.height / 2);
    });
    node.addEventListener("blur", hideTooltip);
    node.addEventListener("pointerdown", (event) => { event.stopPropagation(); node.focus({ preventScroll: true }); });
  });
  chart.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hideTooltip();
    const at = nodes.findIndex(({ node }) => node === document.activeElement);
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: nodes.length - 1 };
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = nodes[Math.min(nodes.length - 1, Math.max(0, steps[event.key]))].node;
    nodes[at].node.setAttribute("tabindex", -1);
    next.setAttribute("tabindex", 0);
    next.focus();
  });
}

// Where an event happened, in the chart's own units.
function placeIn(chart, event) {
  const box = chart.getBoundingClientRect(), scale = chart.viewBox.baseVal.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function nearest(places, x, y, reach) {
  let best = null, distance = reach;
  for (const place of places) {
    const far = Math.hypot(place.x - x, place.y - y);
    if (far <= distance) { distance = far; best = place; }
  }
  return best;
}

// The nearest of `places` (x, y in the chart's units) to the pointer, within `reach`; `elsewhere` may tell of the ground.
function followPointer(report, chart, places, reach, elsewhere) {
  chart.addEventListener("pointermove", (event) => {
    if (event.buttons) return;
    const [x, y] = placeIn(chart, event), best = nearest(places, x, y, reach);
    if (best) return showTooltip(report, best.row, event.clientX, event.clientY);
    const ground = elsewhere && elsewhere(x, y);
    if (!ground) return hideTooltip();
    light(null);
    fillTooltip(ground, event.clientX, event.clientY);
  });
  chart.addEventListener("pointerleave", hideTooltip);
}

// What the surrogate predicts at weights nobody asked about; null where the page holds no predictions.
function describeGround(report, weights) {
  const predicted = typeof predictAt === "function" && report.landscape ? predictAt(weights) : null;
  if (!predicted) return null;
  const texts = predicted.values.map((value, j) => {
    if (value === null) return null;
    const [low, high] = [predicted.lower[j], predicted.upper[j]].map((end) => show(end, report.decimals[j]));
    const { name, unit } = report.objectives[j];
    return [name, `${show(value, report.decimals[j])} [${low}, ${high}]${unit ? ` ${unit}` : ""}`];
  });
  return {
    heading: "prediction here", weights: report.tasks.map((task, t) => [task, show(weights[t], report.weightDecimals)]),
    values: texts.filter((text) => text), note: report.moveProbe ? "click to set the sliders here" : "",
  };
}
