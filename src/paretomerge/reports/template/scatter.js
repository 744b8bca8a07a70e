// A scatter of two quantities: objectives or weights. With two objectives, the front's attainment band lies beneath.
function scatter(report, rows, axisX, axisY, { width, height, zoomed }) {
  rows = rows.filter((row) => axisX.value(row) !== null && axisY.value(row) !== null);
  if (!rows.length) return { node: html("p", { class: "empty" }, "No point to show.") };
  const left = 62, right = 16, top = 14, bottom = 48, { points } = report;
  const chart = blank(width, height, `Scatter of ${axisX.label} against ${axisY.label}. Arrow keys walk through the points.`);
  const bands = report.bands.map((band) => turned(band, axisX.column, axisY.column)).filter((band) => band);
  const known = rows.filter((row) => report.onFront.has(row) || row === report.chosen), near = zoomed && known.length > 1;
  let few = rows.filter((row) => points.origin[row] !== "predicted");
  if (few.length > 24) few = [];
  const reach = (axis, k) => domainOf((near ? known : rows).map(axis.value),
    [...(near ? known : few).flatMap((row) => axis.ends(row) || []), ...bands.flatMap((band) => band.line.map((corner) => corner[k]))], near ? 0.3 : 0.15);
  const [lowX, highX] = reach(axisX, 0), [lowY, highY] = reach(axisY, 1);
  const inside = (value, low, high) => value >= low && value <= high;
  rows = rows.filter((row) => inside(axisX.value(row), lowX, highX) && inside(axisY.value(row), lowY, highY));
  few = few.filter((row) => rows.includes(row));
  const X = scaleOfAxis(lowX, highX, left, width - right), Y = scaleOfAxis(lowY, highY, height - bottom, top);
  drawFrame(chart, { width, height, left, right, top, bottom, lowX, highX, lowY, highY, X, Y, axisX, axisY });

  const name = `inside-${scene.charts.length}`, inner = { x: left, y: top, width: width - left - right, height: height - top - bottom };
  const field = svg("g", { "clip-path": `url(#${name})` }), bars = svg("g", { "aria-hidden": "true" }), lit = svg("g", { "aria-hidden": "true" });
  const marks = svg("g"), over = svg("g");
  chart.append(svg("defs", {}, svg("clipPath", { id: name }, svg("rect", inner))), field, marks, over);
  const at = (row) => [X(axisX.value(row)), Y(axisY.value(row))];
  for (const band of bands) drawBand(field, band, X, Y, name);
  const links = drawLinks(report, field, rows, at);
  drawLines(report, field, rows, axisX, axisY, at);
  field.append(bars, lit);
  for (const row of few) {
    const both = svg("g", {}, barsOf(row, axisX, axisY, X, Y, `error line-${points.origin[row]}`, at(row)));
    bars.append(both);
    remember(row, both);
  }
  const places = drawMarks(report, chart, marks, rows, at);
  placeLabels(over, namedRows(report, rows).map(([row, text]) => ({ x: at(row)[0], y: at(row)[1], text, gap: row === report.chosen ? 13 : 9 })), places,
    [left + 2, top, width - right, height - bottom - 2]);
  const outline = () => {
    const shown = [...new Set([scene.lit, scene.picked])].filter((row) => rows.includes(row));
    lit.replaceChildren(...shown.flatMap((row) => barsOf(row, axisX, axisY, X, Y, "error strong", at(row))));
  };
  const probed = svg("g");
  over.append(probed);
  return {
    node: chart, light: outline, pick: outline,
    probe: (place) => probed.replaceChildren(...probeIn(report, place, axisX, axisY, X, Y)),
    signs: { bands, bars: few.some((row) => axisX.ends(row)), links, lines: linesOf(report, axisX, axisY) },
  };
}

// A band is of two objectives, across and up; on swapped axes its corners are swapped.
function turned(band, x, y) {
  const swap = (places) => places.map(([a, b]) => [b, a]);
  if (band.columns[0] === x && band.columns[1] === y) return band;
  if (band.columns[0] !== y || band.columns[1] !== x) return null;
  return { ...band, line: swap(band.line), outline: swap(band.outline), reach: [...band.reach].reverse() };
}

// Where most draws of the front run, as far as the front goes; the joint front, whose points are nowhere else, has its line too.
function drawBand(field, band, X, Y, name) {
  const on = (places) => corners(places.map(([x, y]) => [X(x), Y(y)]));
  const [[x1, x2], [y1, y2]] = [band.reach[0].map(X), band.reach[1].map(Y)];
  const box = { x: Math.min(x1, x2), y: Math.min(y1, y2), width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) };
  field.append(svg("clipPath", { id: `${name}-${band.origin}` }, svg("rect", box)));
  field.append(svg("path", { d: `${on(band.outline)}Z`, class: `band band-${band.origin}`, "clip-path": `url(#${name}-${band.origin})` }));
  if (band.origin === "trained") field.append(svg("path", { d: on(band.line), class: `front dashed line-${band.origin}` }));
}

// The estimated front; where there is none of these two objectives, the non-dominated points of each origin.
function linesOf(report, axisX, axisY) {
  const lines = report.lines.filter((line) => line.columns.every((column) => column === axisX.column || column === axisY.column));
  return lines.some((line) => !line.origin) ? lines.filter((line) => !line.origin) : lines;
}

function drawLines(report, field, rows, axisX, axisY, at) {
  const shown = new Set(rows);
  for (const line of linesOf(report, axisX, axisY)) {
    const along = line.rows.filter((row) => shown.has(row));
    if (along.length > 1) field.append(svg("path", { d: corners(along.map(at)), class: `front line-${line.origin || "front"}` }));
  }
}

function drawLinks(report, field, rows, at) {
  const shown = new Set(rows), links = report.links.filter(([a, b]) => shown.has(a) && shown.has(b));
  if (links.length > MANY) return false;
  for (const [a, b] of links) field.append(svg("path", { d: corners([at(a), at(b)]), class: "link" }));
  return links.length > 0;
}

function barsOf(row, axisX, axisY, X, Y, style, [x, y]) {
  const across = axisX.ends(row), up = axisY.ends(row), bars = [];
  if (across) bars.push(svg("path", { d: `M${X(across[0]).toFixed(1)},${y.toFixed(1)}H${X(across[1]).toFixed(1)}`, class: style }));
  if (up) bars.push(svg("path", { d: `M${x.toFixed(1)},${Y(up[0]).toFixed(1)}V${Y(up[1]).toFixed(1)}`, class: style }));
  return bars;
}

// The probe with its predicted intervals.
function probeIn(report, place, axisX, axisY, X, Y) {
  if (!place) return [];
  const of = (axis, list) => (axis.key[0] === "w" ? place.weights[Number(axis.key.slice(1))] : list && list[axis.column]);
  const x = of(axisX, place.values), y = of(axisY, place.values);
  if (x === null || y === null || x === undefined || y === undefined) return [];
  const bars = [];
  const ends = (axis) => (axis.column === null || !place.lower ? null : [place.lower[axis.column], place.upper[axis.column]]);
  const across = ends(axisX), up = ends(axisY);
  if (across) bars.push(svg("path", { d: `M${X(across[0]).toFixed(1)},${Y(y).toFixed(1)}H${X(across[1]).toFixed(1)}`, class: "error probing" }));
  if (up) bars.push(svg("path", { d: `M${X(x).toFixed(1)},${Y(up[0]).toFixed(1)}V${Y(up[1]).toFixed(1)}`, class: "error probing" }));
  return [...bars, probeMark(X(x), Y(y))];
}

// Marks from the least to the most certain, the chosen one last; returns where they are.
function drawMarks(report, chart, layer, rows, at) {
  const counts = {}, places = [], nodes = [];
  for (const row of rows) counts[report.points.origin[row]] = (counts[report.points.origin[row]] || 0) + 1;
  for (const row of [...rows].sort((a, b) => rankOf(report, a) - rankOf(report, b))) {
    const [x, y] = at(row), origin = report.points.origin[row];
    const radius = origin === "predicted" ? (counts.predicted > MANY ? 2.6 : 3.6) : counts[origin] > MANY ? 3.8 : 5;
    const path = row === report.chosen
      ? svg("path", { d: starPath(x, y, 11), class: "mark star" })
      : svg("path", { d: markPath(origin, x, y, radius), class: `mark fill-${origin}${counts[origin] > MANY ? " dense" : ""}` });
    const node = svg("g", { class: "point" }, path);
    layer.append(node);
    remember(row, node);
    places.push({ x, y, row });
    nodes.push({ node, row, x });
  }
  makeWalkable(report, chart, nodes.sort((a, b) => a.x - b.x));
  followPointer(report, chart, places, 18);
  return places;
}
