// A map of one quantity over the weights of three tasks: first task bottom left, second right, third on top.
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map(
  (code) => [0, 2, 4].map((i) => parseInt(code.slice(i, i + 2), 16)),
);

function viridis(t) {
  const place = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2), part = place - i;
  return `rgb(${VIRIDIS[i].map((low, k) => Math.round(low + part * (VIRIDIS[i + 1][k] - low))).join(",")})`;
}

function ternary(report, visible, axis) {
  const width = 620, height = 460, side = 440, left = 58, base = 408;
  const onSimplex = (w) => w.every((v) => v >= -1e-9) && Math.abs(w[0] + w[1] + w[2] - 1) < 1e-6;
  const rows = visible.filter((row) => axis.value(row) !== null && onSimplex(report.points.weights[row]));
  if (!rows.length) return html("p", { class: "empty" }, "No point to show.");
  const at = (w) => [left + side * (w[1] + 0.5 * w[2]), base - side * Math.sqrt(0.75) * w[2]];
  let low = Infinity, high = -Infinity;
  for (const row of rows) { low = Math.min(low, axis.value(row)); high = Math.max(high, axis.value(row)); }
  const span = high - low || 1;
  const colour = (value) => viridis(axis.lower ? 1 - (value - low) / span : (value - low) / span);
  const chart = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, class: "plot", role: "group",
    "aria-label": `${axis.label} over the weights of ${report.tasks.join(", ")}. Arrow keys walk through the points.`,
  });
  const shown = new Set(rows);
  const layers = report.origins.map(({ key }) => [key, report.triangles[key].filter((three) => three.every((row) => shown.has(row)))]);
  const [ground, triangles] = layers.sort((a, b) => b[1].length - a[1].length)[0];
  drawSurface(chart, triangles.map((three) => three.map((row) => [...at(report.points.weights[row]), axis.value(row)])), colour);
  drawSimplex(chart, report.tasks, at);
  const bar = drawColourBar(chart, { x: 540, top: 96, bottom: 372, low, high: low + span, colour, axis });
  chart.append(bar);
  const title = `${short(axis.name, 40)} over the task weights`;
  chart.append(svg("text", { x: left + side / 2, y: height - 4, "text-anchor": "middle", class: "axis" }, title));
  drawDots(report, chart, rows, triangles.length ? ground : "", at, (row) => colour(axis.value(row)));
  return chart;
}

// Linear between the corners, in small flat triangles; strokes of the same colour hide the seams.
function drawSurface(chart, triangles, colour) {
  const cuts = Math.max(1, Math.min(8, Math.round(Math.sqrt(1500 / Math.max(1, triangles.length)))));
  const surface = svg("g", { "aria-hidden": "true" });
  for (const [a, b, c] of triangles) {
    const corner = (i, j) => a.map((value, k) => value + (i / cuts) * (b[k] - value) + (j / cuts) * (c[k] - value));
    const add = (...corners) => {
      const paint = colour((corners[0][2] + corners[1][2] + corners[2][2]) / 3);
      const points = corners.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
      surface.append(svg("polygon", { points, fill: paint, stroke: paint, "stroke-width": 0.8 }));
    };
    for (let i = 0; i < cuts; i++) {
      for (let j = 0; i + j < cuts; j++) {
        add(corner(i, j), corner(i + 1, j), corner(i, j + 1));
        if (i + j + 1 < cuts) add(corner(i + 1, j), corner(i + 1, j + 1), corner(i, j + 1));
      }
    }
  }
  chart.append(surface);
}

function drawSimplex(chart, tasks, at) {
  const path = (...corners) => `M${corners.map((w) => at(w).join(",")).join("L")}`;
  for (const level of [0.25, 0.5, 0.75]) {
    const rest = 1 - level;
    for (const ends of [[[level, rest, 0], [level, 0, rest]], [[rest, level, 0], [0, level, rest]], [[rest, 0, level], [0, rest, level]]]) {
      chart.append(svg("path", { d: path(...ends), class: "mesh" }));
    }
  }
  chart.append(svg("path", { d: path([1, 0, 0], [0, 1, 0], [0, 0, 1]) + "Z", class: "simplex" }));
  const corners = [[[1, 0, 0], 28, "middle"], [[0, 1, 0], 28, "middle"], [[0, 0, 1], -14, "middle"]];
  corners.forEach(([w, down, anchor], t) => {
    const [x, y] = at(w);
    chart.append(svg("text", { x: Math.max(x, 82), y: y + down, "text-anchor": anchor, class: "axis" }, `all ${short(tasks[t], 18)}`));
  });
}

function drawColourBar(chart, { x, top, bottom, low, high, colour, axis }) {
  const bar = svg("g", { "aria-hidden": "true" });
  const steps = 48, size = (bottom - top) / steps;
  for (let k = 0; k < steps; k++) {
    const value = high - ((k + 0.5) / steps) * (high - low);
    bar.append(svg("rect", { x, y: top + k * size, width: 14, height: size + 0.6, fill: colour(value) }));
  }
  const { ticks, decimals } = ticksOf(low, high, 5);
  for (const tick of ticks) {
    const y = bottom - ((tick - low) / (high - low)) * (bottom - top);
    bar.append(svg("text", { x: x + 20, y: y + 4, class: "tick" }, show(tick, decimals)));
  }
  bar.append(svg("text", { x: x + 40, y: top - 32, "text-anchor": "middle" }, axis.unit ? `[${short(axis.unit, 10)}]` : ""));
  bar.append(svg("text", { x: x + 30, y: top - 14, "text-anchor": "middle" }, axis.better));
  return bar;
}

// Merged and trained markers at one weighting step aside, so that both are seen.
function drawDots(report, chart, rows, ground, at, paint) {
  const measured = new Set(report.links.filter((pair) => pair.every((row) => report.points.origin[row] !== "predicted")).flat());
  const aside = { predicted: 0, merged: -9, trained: 9 };
  const order = ["predicted", "merged", "trained"];
  const rank = (row) => (row === report.chosen ? 3 : order.indexOf(report.points.origin[row]));
  const places = [], nodes = [];
  for (const row of [...rows].sort((a, b) => rank(a) - rank(b))) {
    const origin = report.points.origin[row];
    let [x, y] = at(report.points.weights[row]);
    if (measured.has(row)) x += aside[origin];
    const small = origin === ground;
    const path = row === report.chosen
      ? svg("path", { d: starPath(x, y, 11), class: "dot star" })
      : svg("path", { d: markPath(origin, x, y, small ? 2.4 : 6), fill: paint(row), class: small ? "dot small" : `dot line-${origin}` });
    const node = svg("g", { class: "point" }, path);
    chart.append(node);
    remember(row, node);
    places.push({ x, y, row });
    nodes.push({ node, row, x });
  }
  makeWalkable(report, chart, nodes.sort((a, b) => a.x - b.x));
  followPointer(report, chart, places, 16);
}
