// Axes, ticks, titles and small labels of the charts, in pixels: a chart is drawn as wide as it is shown.
const MANY = 60;

const scaleOfAxis = (low, high, from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);
const corners = (places) => `M${places.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;
const textWidth = (text, size) => 0.56 * size * text.length;

function blank(width, height, label) {
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", role: "group", "aria-label": label });
}

// "movie loss  nats  ← lower is better": the name in ink, the rest softer; only the name is cut when there is no room.
function axisWords(axis, room) {
  const brief = (axis.arrow || "").replace(/(lower|higher) is /, ""), wide = textWidth(axis.name, 13);
  const fitting = [axis.arrow, brief, ""].map((arrow) => [axis.unit, arrow].filter((word) => word))
    .find((words) => wide + textWidth(words.join("   "), 12) + 8 < room);
  const rest = fitting || (brief ? [brief] : []);
  const name = fitting ? axis.name : short(axis.name, Math.max(8, Math.floor((room - textWidth(rest.join(""), 12) - 8) / (0.56 * 13))));
  const parts = [svg("tspan", { class: "name" }, name), ...rest.map((word) => svg("tspan", { dx: 8 }, word))];
  return name === axis.name ? parts : [svg("title", {}, axis.label), ...parts];
}

// Round numbers along both sides, hairlines, and a title per axis. `f`: {width, height, left, right, top, bottom, lowX,
// highX, lowY, highY, X, Y, axisX, axisY}.
function drawFrame(chart, f) {
  const acrossRoom = f.width - f.left - f.right, upRoom = f.height - f.top - f.bottom;
  const across = ticksOf(f.lowX, f.highX, Math.max(3, Math.min(10, acrossRoom / 80)));
  const up = ticksOf(f.lowY, f.highY, Math.max(3, Math.min(8, upRoom / 52)));
  for (const tick of across.ticks) {
    const x = f.X(tick).toFixed(1);
    chart.append(svg("path", { d: `M${x},${f.top}V${f.height - f.bottom}`, class: "grid" }));
    chart.append(svg("text", { x, y: f.height - f.bottom + 17, "text-anchor": "middle", class: "tick" }, show(tick, across.decimals)));
  }
  for (const tick of up.ticks) {
    const y = f.Y(tick);
    chart.append(svg("path", { d: `M${f.left},${y.toFixed(1)}H${f.width - f.right}`, class: "grid" }));
    chart.append(svg("text", { x: f.left - 8, y: (y + 4).toFixed(1), "text-anchor": "end", class: "tick" }, show(tick, up.decimals)));
  }
  chart.append(svg("path", { d: `M${f.left},${f.top}V${f.height - f.bottom}H${f.width - f.right}`, class: "frame" }));
  const middleX = (f.left + f.width - f.right) / 2, middleY = (f.top + f.height - f.bottom) / 2;
  chart.append(svg("text", { x: middleX, y: f.height - 8, "text-anchor": "middle", class: "axis" }, axisWords(f.axisX, acrossRoom)));
  chart.append(svg("text", { x: 14, y: middleY, "text-anchor": "middle", transform: `rotate(-90 14 ${middleY})`, class: "axis" }, axisWords(f.axisY, upRoom)));
}

// Where the values lie, wide enough for `also` (band corners, ends of intervals) up to a share of their spread.
function domainOf(values, also = [], share = 0.15) {
  let low = Infinity, high = -Infinity;
  for (const value of values) { low = Math.min(low, value); high = Math.max(high, value); }
  const spread = high - low || Math.abs(high) || 1;
  let down = low, up = high;
  for (const value of also) {
    down = Math.min(down, Math.max(value, low - share * spread));
    up = Math.max(up, Math.min(value, high + share * spread));
  }
  const pad = 0.05 * (up - down || spread);
  return [down - pad, up + pad];
}

// Labels beside their marks, where they cover least: of others' boxes, of marks, and of the edge.
function placeLabels(layer, wanted, marks, bounds, size = 12) {
  const taken = [];
  const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  for (const { x, y, text, gap } of wanted) {
    const wide = textWidth(text, size) + 4, tall = size + 3;
    const spots = [[gap, -tall / 2, "start"], [-gap - wide, -tall / 2, "end"], [-wide / 2, -gap - tall, "middle"], [-wide / 2, gap, "middle"],
      [gap * 0.7, -gap * 0.7 - tall, "start"], [gap * 0.7, gap * 0.7, "start"], [-gap * 0.7 - wide, -gap * 0.7 - tall, "end"], [-gap * 0.7 - wide, gap * 0.7, "end"]];
    let best = null, least = Infinity;
    spots.forEach(([dx, dy, anchor], preference) => {
      const box = [x + dx, y + dy, x + dx + wide, y + dy + tall];
      const outside = wide * tall - overlap(box, bounds);
      const covered = marks.filter((mark) => mark.x > box[0] - 4 && mark.x < box[2] + 4 && mark.y > box[1] - 4 && mark.y < box[3] + 4).length;
      const cost = preference + 20 * covered + 0.5 * taken.reduce((sum, other) => sum + overlap(box, other), 0) + 4 * outside;
      if (cost < least) { least = cost; best = { box, anchor }; }
    });
    const at = { start: best.box[0] + 2, end: best.box[2] - 2, middle: (best.box[0] + best.box[2]) / 2 }[best.anchor];
    layer.append(svg("text", { x: at.toFixed(1), y: (best.box[3] - 4).toFixed(1), "text-anchor": best.anchor, class: "note" }, text));
    taken.push(best.box);
  }
}

// The points worth a name: the chosen one, and the measured models of one task alone.
function namedRows(report, rows) {
  const found = [], rank = (row) => ORDER.indexOf(report.points.origin[row]);
  report.tasks.forEach((task, t) => {
    const alone = rows.filter((row) => row !== report.chosen && report.points.weights[row].every((weight, s) => Math.abs(weight - (s === t ? 1 : 0)) < 1e-9) && rank(row) > 0);
    if (alone.length) found.push([alone.reduce((best, row) => (rank(row) > rank(best) ? row : best)), `only ${short(task, 18)}`]);
  });
  if (rows.includes(report.chosen)) found.unshift([report.chosen, "chosen"]);
  return found;
}

// A ring with a cross: where the sliders stand.
function probeMark(x, y) {
  const r = 9;
  const d = `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0ZM${x - r - 4},${y}h6M${x + r - 2},${y}h6M${x},${y - r - 4}v6M${x},${y + r - 2}v6`;
  return svg("g", { class: "probe", "aria-hidden": "true" }, [svg("path", { d, class: "halo" }), svg("path", { d, class: "ring" })]);
}

// What a chart's signs mean, under it: [symbol, words] pairs.
function legendOf(entries) {
  return html("ul", { class: "legend" }, entries.map(([symbol, words]) => html("li", {}, [symbol, words])));
}

function swatch(kind) {
  const box = svg("svg", { width: 22, height: 14, class: "plot", "aria-hidden": "true" });
  if (kind.startsWith("band")) box.append(svg("rect", { x: 0, y: 1, width: 22, height: 12, class: kind }));
  else box.append(svg("path", { d: "M0,7H22", class: kind }));
  return box;
}

function starSymbol() {
  return svg("svg", { width: 18, height: 18, class: "plot", "aria-hidden": "true" }, svg("path", { d: starPath(9, 9.5, 8), class: "star" }));
}
