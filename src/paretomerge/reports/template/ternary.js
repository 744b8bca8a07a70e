// A map of one objective over the weights of three tasks: first task bottom left, second right, third on top.
// Filled from the grid of predictions; without one, from the triangles between the points of one origin.
function groundOf(report, rows, j, mode) {
  const { landscape, points } = report;
  if (landscape && landscape.values[0][j] !== null && landscape.divisions) {
    const { values, lower, upper, weights } = landscape;
    const half = (i) => (lower[i][j] === null ? 0 : (upper[i][j] - lower[i][j]) / 2);
    return {
      places: weights.map((row, i) => ({ weights: row, value: mode === "half" ? half(i) : values[i][j], far: landscape.far[i], all: values[i] })),
      triangles: gridTriangles(weights, landscape.divisions), origin: "",
    };
  }
  const shown = new Set(rows);
  const layers = report.origins.map(({ key }) => [key, report.triangles[key].filter((three) => three.every((row) => shown.has(row)))]);
  const [origin, triangles] = layers.reduce((best, layer) => (layer[1].length > best[1].length ? layer : best), ["", []]);
  const half = (row) => { const ends = endsOf(report, row, j); return ends ? (ends[1] - ends[0]) / 2 : 0; };
  const places = points.weights.map((weights, row) => ({ weights, value: mode === "half" ? half(row) : points.values[row][j], far: 0, all: points.values[row] }));
  return { places, triangles, origin: triangles.length ? origin : "" };
}

function ternary(report, rows, j, { width, mode }) {
  const objective = report.objectives[j], lower = mode === "half" || objective.direction === "minimise";
  rows = rows.filter((row) => report.points.values[row][j] !== null && onSimplex(report.points.weights[row]));
  const side = Math.min(width - 60, 420), left = (width - side) / 2, tall = side * Math.sqrt(0.75), top = 34, base = top + tall, height = base + 34;
  const at = (w) => [left + side * (w[1] + 0.5 * w[2]), base - tall * w[2]];
  const ground = groundOf(report, rows, j, mode);
  const measured = mode === "half" ? [] : rows.filter((row) => report.points.origin[row] !== "predicted").map((row) => report.points.values[row][j]);
  const values = [...new Set(ground.triangles.flat())].map((i) => ground.places[i].value).concat(measured);
  if (!values.length) return { node: html("p", { class: "empty" }, "No point to show.") };
  const scale = stepsOf(values, lower);
  const chart = blank(width, height, `${objective.label} over the weights of ${report.tasks.join(", ")}. Arrow keys walk through the points.`);
  const triangles = ground.triangles.map((three) => three.map((i) => [...at(ground.places[i].weights), ground.places[i].value, ground.places[i].far, ...ground.places[i].all]));
  const name = `kept-${scene.charts.length}`, kept = svg("path", {}), surface = svg("g", { id: `${name}-surface` }, contourPaths(triangles, 2, scale.steps));
  surface.append(contourLines(triangles, 2, scale.edges));
  const far = triangles.map((triangle) => clipped(triangle, 3, 1, 0.5)).filter((piece) => piece.length > 2).map(outline).join("");
  const dim = svg("g", { class: "dim", "aria-hidden": "true" }, svg("use", { href: `#${name}-surface` }));
  const full = svg("g", { "aria-hidden": "true" }, surface);
  chart.append(svg("defs", {}, [svg("clipPath", { id: name }, kept), hatching(name)]), dim, full);
  if (far) chart.append(svg("path", { d: far, fill: `url(#${name}-hatch)`, "aria-hidden": "true" }));
  drawSimplex(chart, report.tasks, at, side);
  chart.append(mapScale(scale, { x: width - 58, top: 8, height: Math.min(150, tall * 0.6), lower, unit: mode === "half" ? "± " + objective.unit : objective.unit, plain: mode === "half" }));
  const places = drawDots(report, chart, rows, ground.origin, at, (row) => (mode === "half" ? "var(--raised)" : scale.colour(report.points.values[row][j])));
  const weightsAt = (x, y) => {
    const third = (base - y) / tall, second = (x - left) / side - third / 2, found = [1 - second - third, second, third];
    return found.every((weight) => weight >= -0.01) ? normal(found) : null;
  };
  followPointer(report, chart, places, 11, (x, y) => { const weights = weightsAt(x, y); return weights && describeGround(report, weights); });
  movesProbe(report, chart, weightsAt);
  const probed = svg("g");
  chart.append(probed);
  return {
    node: chart, far: Boolean(far),
    probe: (place) => probed.replaceChildren(...(place && onSimplex(place.weights) ? [probeMark(...at(place.weights))] : [])),
    exclude: () => {
      const limits = allLimits().filter(({ axis }) => axis[0] === "o").map((limit) => ({ ...limit, k: 4 + Number(limit.axis.slice(1)) }));
      const limited = limits.length > 0 && triangles.every((triangle) => triangle.every((corner) => limits.every(({ k }) => corner[k] !== null)));
      chart.classList.toggle("limited", limited);
      if (limited) full.setAttribute("clip-path", `url(#${name})`);
      else full.removeAttribute("clip-path");
      kept.setAttribute("d", limited ? keptPath(triangles, limits) || "M0,0" : "M0,0");
    },
  };
}

const onSimplex = (w) => w.every((v) => v >= -1e-9) && Math.abs(w.reduce((a, b) => a + b, 0) - 1) < 1e-6;

function normal(weights) {
  const positive = weights.map((weight) => Math.max(0, weight)), sum = positive.reduce((a, b) => a + b, 0);
  return positive.map((weight) => weight / sum);
}

// A click, or a drag, sets the explorer's sliders.
function movesProbe(report, chart, weightsAt) {
  if (!report.landscape) return;
  const move = (event) => { const weights = weightsAt(...placeIn(chart, event)); if (weights && report.moveProbe) report.moveProbe(weights); };
  chart.classList.add("movable");
  chart.addEventListener("pointerdown", (event) => {
    if (event.button || !report.moveProbe || !weightsAt(...placeIn(chart, event))) return;
    hideTooltip();
    chart.setPointerCapture(event.pointerId);
    move(event);
  });
  chart.addEventListener("pointermove", (event) => { if (chart.hasPointerCapture(event.pointerId)) move(event); });
}

function hatching(name) {
  return svg("pattern", { id: `${name}-hatch`, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("path", { d: "M0,0V7", class: "hatch" }));
}

function drawSimplex(chart, tasks, at, side) {
  const path = (...places) => corners(places.map(at));
  for (const level of [0.25, 0.5, 0.75]) {
    const rest = 1 - level;
    for (const ends of [[[level, rest, 0], [level, 0, rest]], [[rest, level, 0], [0, level, rest]], [[rest, 0, level], [0, rest, level]]]) {
      chart.append(svg("path", { d: path(...ends), class: "mesh" }));
    }
  }
  chart.append(svg("path", { d: path([1, 0, 0], [0, 1, 0], [0, 0, 1]) + "Z", class: "simplex" }));
  const room = Math.floor(side / 2 / 7.4);
  [[[1, 0, 0], 22, "start", -14], [[0, 1, 0], 22, "end", 14], [[0, 0, 1], -16, "middle", 0]].forEach(([w, down, anchor, aside], t) => {
    const [x, y] = at(w);
    chart.append(svg("text", { x: x + aside, y: y + down, "text-anchor": anchor, class: "axis" }, [`all ${short(tasks[t], room)}`, svg("title", {}, tasks[t])]));
  });
}

// The colour steps beside the apex, with their edges as numbers.
function mapScale(scale, { x, top, height, lower, unit, plain }) {
  const bar = svg("g", { "aria-hidden": "true", class: "scale" }), { steps, edges, decimals } = scale, size = (height - 22) / steps.length;
  bar.append(svg("text", { x: x + 12, y: top + 8, "text-anchor": "end" }, short(unit, 10)));
  [...steps].reverse().forEach(({ colour }, i) => bar.append(svg("rect", { x, y: top + 18 + i * size, width: 12, height: size, fill: colour })));
  const skip = Math.ceil(13 / size);
  edges.slice(1, -1).forEach((edge, i) => {
    if (i % skip) return;
    bar.append(svg("text", { x: x + 17, y: (top + 18 + (steps.length - 1 - i) * size + 4).toFixed(1), class: "tick" }, show(edge, decimals)));
  });
  if (!plain) bar.append(svg("text", { x: x - 6, y: lower ? top + height - 4 : top + 26, "text-anchor": "end" }, "better"));
  return bar;
}

// Measured models wear their own value's colour: where it differs from its surroundings, the prediction errs.
function drawDots(report, chart, rows, ground, at, paint) {
  const both = new Set(report.links.filter((pair) => pair.every((row) => report.points.origin[row] !== "predicted")).flat());
  const aside = { predicted: 0, merged: -7, trained: 7 };
  const places = [], nodes = [];
  for (const row of [...rows].sort((a, b) => rankOf(report, a) - rankOf(report, b))) {
    const origin = report.points.origin[row], small = origin === "predicted" || origin === ground;
    let [x, y] = at(report.points.weights[row]);
    if (both.has(row)) x += aside[origin];
    const d = row === report.chosen ? starPath(x, y, 10) : markPath(origin, x, y, small ? 1.7 : 5.4);
    const node = svg("g", { class: "point" }, row === report.chosen
      ? [svg("path", { d, class: "rim" }), svg("path", { d, class: "dot star" })]
      : small ? svg("path", { d, class: "dot small" })
        : [svg("path", { d, class: "rim" }), svg("path", { d, class: "dot", fill: paint(row) })]);
    chart.append(node);
    remember(row, node);
    places.push({ x, y, row });
    nodes.push({ node, row, x });
  }
  if (nodes.length) makeWalkable(report, chart, nodes.sort((a, b) => a.x - b.x));
  return places;
}
