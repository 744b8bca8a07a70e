// Elements, marks and tooltips. All text goes in as text nodes, never as HTML.
const SPACE = document.getElementById("namespace").namespaceURI;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of [].concat(children === undefined ? [] : children)) node.append(child);
  return node;
}
const html = (name, attributes, children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, children) => fill(document.createElementNS(SPACE, name), attributes, children);
const short = (text, longest) => (text.length > longest ? text.slice(0, longest - 1).trimEnd() + "…" : text);

const SHAPES = {
  predicted: (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  merged: (x, y, r) => `M${x - r * 0.9},${y - r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}Z`,
  trained: (x, y, r) => `M${x},${y - 1.3 * r}L${x + 1.3 * r},${y}L${x},${y + 1.3 * r}L${x - 1.3 * r},${y}Z`,
};

function markPath(origin, x, y, r) {
  const round = (number) => Math.round(number * 100) / 100;
  return SHAPES[origin](round(x), round(y), round(r));
}

function starPath(x, y, r) {
  const corners = [];
  for (let k = 0; k < 10; k++) {
    const length = k % 2 ? r * 0.42 : r, angle = (k * Math.PI) / 5;
    corners.push(`${(x + length * Math.sin(angle)).toFixed(1)},${(y - length * Math.cos(angle)).toFixed(1)}`);
  }
  return `M${corners.join("L")}Z`;
}

function keySymbol(origin) {
  const path = svg("path", { d: markPath(origin, 7, 7, 4.6), class: `fill-${origin}` });
  return svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, path);
}

// Points are drawn in several charts and one table: lighting one lights it everywhere.
const drawn = new Map();
let lit = null;

function remember(row, node) {
  if (!drawn.has(row)) drawn.set(row, []);
  drawn.get(row).push(node);
}

function light(row) {
  if (row === lit) return;
  for (const node of drawn.get(lit) || []) node.classList.remove("lit");
  for (const node of drawn.get(row) || []) node.classList.add("lit");
  lit = row;
}

const tooltip = document.getElementById("tooltip");

function describe(report, row) {
  const { points, objectives, tasks } = report;
  const origin = report.origins.find((known) => known.key === points.origin[row]);
  const words = [origin.label];
  if (report.onFront.has(row)) words.push("on the front");
  if (report.chosen === row) words.push("chosen");
  return {
    heading: words.join(", "),
    weights: tasks.map((task, t) => [task, show(points.weights[row][t], report.weightDecimals)]),
    values: objectives
      .map((objective, j) => [objective, j])
      .filter(([, j]) => points.values[row][j] !== null)
      .map(([objective, j]) => [
        objective.name,
        showInterval(points.values[row][j], report.interval * points.stderr[row][j], report.decimals[j]) +
          (objective.unit ? ` ${objective.unit}` : ""),
      ]),
  };
}

function spoken(report, row) {
  const { heading, weights, values } = describe(report, row);
  const pairs = (list) => list.map(([name, text]) => `${name} ${text}`).join(", ");
  return `${heading}; weights ${pairs(weights)}; ${pairs(values)}`;
}

function showTooltip(report, row, x, y) {
  const { heading, weights, values } = describe(report, row);
  const line = (name, text, gap) =>
    html("tr", { class: gap ? "gap" : null }, [html("td", {}, short(name, 40)), html("td", { class: "number" }, text)]);
  const body = html("tbody", {}, [
    ...weights.map(([task, text]) => line(`weight ${task}`, text)),
    ...values.map(([name, text], i) => line(name, text, i === 0)),
  ]);
  tooltip.replaceChildren(html("strong", {}, heading), html("table", {}, body));
  tooltip.hidden = false;
  const box = tooltip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - box.width - 16 : x + 16;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, Math.min(y - box.height / 2, innerHeight - box.height - 4))}px`;
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
    node.addEventListener("pointerdown", () => node.focus({ preventScroll: true }));
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

// The nearest of `places` (x, y in the chart's units) to the pointer, within `reach`.
function followPointer(report, chart, places, reach) {
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const scale = chart.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
    let best = null, distance = reach;
    for (const place of places) {
      const far = Math.hypot(place.x - x, place.y - y);
      if (far <= distance) { distance = far; best = place; }
    }
    if (best) showTooltip(report, best.row, event.clientX, event.clientY);
    else hideTooltip();
  });
  chart.addEventListener("pointerleave", hideTooltip);
}
