// A scatter of two quantities: objectives or weights. Axes: {label, value(row), half(row), column or null}.
const MANY = 60;

function domainOf(rows, axis) {
  let low = Infinity, high = -Infinity;
  for (const row of rows) { low = Math.min(low, axis.value(row)); high = Math.max(high, axis.value(row)); }
  const spread = high - low || Math.abs(high) || 1;
  let down = low, up = high;
  for (const row of rows) {  // intervals may widen the view, by at most a fifth on each side
    down = Math.min(down, Math.max(axis.value(row) - axis.half(row), low - 0.2 * spread));
    up = Math.max(up, Math.min(axis.value(row) + axis.half(row), high + 0.2 * spread));
  }
  const pad = 0.04 * (up - down || spread);
  return [down - pad, up + pad];
}

function scatter(report, visible, axisX, axisY, wide) {
  const width = wide ? 1180 : 620, height = wide ? 540 : 460, left = 66, right = 16, top = 14, bottom = 54;
  const chart = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, class: "plot", role: "group",
    "aria-label": `Scatter of ${axisX.label} against ${axisY.label}. Arrow keys walk through the points.`,
  });
  const rows = visible.filter((row) => axisX.value(row) !== null && axisY.value(row) !== null);
  if (!rows.length) return html("p", { class: "empty" }, "No point to show.");
  const [lowX, highX] = domainOf(rows, axisX), [lowY, highY] = domainOf(rows, axisY);
  const X = (value) => left + ((value - lowX) / (highX - lowX)) * (width - left - right);
  const Y = (value) => height - bottom - ((value - lowY) / (highY - lowY)) * (height - top - bottom);
  drawFrame(chart, { width, height, left, right, top, bottom, lowX, highX, lowY, highY, X, Y, axisX, axisY });

  const shown = new Set(rows);
  const clip = svg("clipPath", { id: "inside" }, svg("rect", { x: left, y: top, width: width - left - right, height: height - top - bottom }));
  const field = svg("g", { "clip-path": "url(#inside)" });
  const marks = svg("g");
  chart.append(svg("defs", {}, clip), field, marks);
  const place = (row) => `${X(axisX.value(row)).toFixed(1)},${Y(axisY.value(row)).toFixed(1)}`;
  const links = report.links.filter(([a, b]) => shown.has(a) && shown.has(b));
  if (links.length <= MANY) for (const [a, b] of links) field.append(svg("path", { d: `M${place(a)}L${place(b)}`, class: "link" }));

  const counts = {};
  for (const row of rows) counts[report.points.origin[row]] = (counts[report.points.origin[row]] || 0) + 1;
  for (const row of rows) {
    const origin = report.points.origin[row], x = axisX.value(row), y = axisY.value(row);
    const style = `error line-${origin}${counts[origin] > MANY ? " many" : ""}`;
    if (axisX.half(row)) field.append(svg("path", { d: `M${X(x - axisX.half(row)).toFixed(1)},${Y(y).toFixed(1)}H${X(x + axisX.half(row)).toFixed(1)}`, class: style }));
    if (axisY.half(row)) field.append(svg("path", { d: `M${X(x).toFixed(1)},${Y(y - axisY.half(row)).toFixed(1)}V${Y(y + axisY.half(row)).toFixed(1)}`, class: style }));
  }
  for (const line of report.lines) {
    const [first, second] = line.columns, columns = [axisX.column, axisY.column];
    if (!(columns.includes(first) && columns.includes(second))) continue;
    const along = line.rows.filter((row) => shown.has(row));
    if (along.length > 1) field.append(svg("path", { d: `M${along.map(place).join("L")}`, class: `front line-${line.origin || "front"}` }));
  }
  drawMarks(report, chart, marks, rows, counts, (row) => [X(axisX.value(row)), Y(axisY.value(row))]);
  return chart;
}

function drawFrame(chart, f) {
  const { ticks: ticksX, decimals: decimalsX } = ticksOf(f.lowX, f.highX, f.width > 900 ? 12 : 7);
  const { ticks: ticksY, decimals: decimalsY } = ticksOf(f.lowY, f.highY, 7);
  for (const tick of ticksX) {
    chart.append(svg("path", { d: `M${f.X(tick)},${f.top}V${f.height - f.bottom}`, class: "grid" }));
    chart.append(svg("text", { x: f.X(tick), y: f.height - f.bottom + 18, "text-anchor": "middle", class: "tick" }, show(tick, decimalsX)));
  }
  for (const tick of ticksY) {
    chart.append(svg("path", { d: `M${f.left},${f.Y(tick)}H${f.width - f.right}`, class: "grid" }));
    chart.append(svg("text", { x: f.left - 8, y: f.Y(tick) + 4, "text-anchor": "end", class: "tick" }, show(tick, decimalsY)));
  }
  chart.append(svg("path", { d: `M${f.left},${f.top}V${f.height - f.bottom}H${f.width - f.right}`, class: "frame" }));
  const middleX = (f.left + f.width - f.right) / 2, middleY = (f.top + f.height - f.bottom) / 2;
  chart.append(svg("text", { x: middleX, y: f.height - 10, "text-anchor": "middle", class: "axis" }, f.axisX.label));
  chart.append(svg("text", { x: 15, y: middleY, "text-anchor": "middle", transform: `rotate(-90 15 ${middleY})`, class: "axis" }, f.axisY.label));
}

function drawMarks(report, chart, marks, rows, counts, at) {
  const order = ["predicted", "merged", "trained"];
  const rank = (row) => (row === report.chosen ? 3 : order.indexOf(report.points.origin[row]));
  const places = [], nodes = [];
  for (const row of [...rows].sort((a, b) => rank(a) - rank(b))) {
    const [x, y] = at(row), origin = report.points.origin[row];
    const radius = (counts[origin] > MANY ? 3.2 : 4.8) * (report.onFront.has(row) || !report.onFront.size ? 1 : 0.9);
    const path = row === report.chosen
      ? svg("path", { d: starPath(x, y, 11), class: "mark star" })
      : svg("path", { d: markPath(origin, x, y, radius), class: `mark fill-${origin}` });
    const node = svg("g", { class: "point" }, path);
    marks.append(node);
    remember(row, node);
    places.push({ x, y, row });
    nodes.push({ node, row, x });
  }
  makeWalkable(report, chart, nodes.sort((a, b) => a.x - b.x));
  followPointer(report, chart, places, 18);
}
