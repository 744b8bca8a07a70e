// The front of three objectives in space: drag or use the arrow keys to turn it, wheel or + and − to zoom.
// Turned square to a wall it is an ordinary scatter of two objectives, without perspective.
const VIEWS = [["in space", -0.62, 0.38], ["first two", 0, Math.PI / 2], ["first and third", 0, 0], ["last two", Math.PI / 2, 0]];

// A turn by `azimuth` about the vertical, then by `elevation` towards the viewer: across, up, and depth (larger is further).
function turn([x, y, z], { azimuth, elevation }) {
  const across = x * Math.cos(azimuth) + y * Math.sin(azimuth), away = y * Math.cos(azimuth) - x * Math.sin(azimuth);
  return [across, z * Math.cos(elevation) + away * Math.sin(elevation), away * Math.cos(elevation) - z * Math.sin(elevation)];
}

function space(report, rows, columns, { width, height, view }) {
  const axes = columns.map((j) => axisOf(report, `o${j}`));
  rows = rows.filter((row) => axes.every((axis) => axis.value(row) !== null));
  if (!rows.length) return { node: html("p", { class: "empty" }, "No point to show.") };
  const rulers = axes.map((axis) => {
    const [low, high] = domainOf(rows.map(axis.value));
    return { axis, low, high, ...ticksOf(low, high, 5), unit: (value) => (value - low) / (high - low) - 0.5 };
  });
  const label = `The front in space: ${axes.map((axis) => axis.label).join("; ")}. Arrow keys turn it, plus and minus zoom, Home resets it.`;
  const chart = fill(blank(width, height, label), { tabindex: 0, class: "plot space" });
  const layers = Object.fromEntries(["walls", "shadows", "facets", "bars", "marks", "labels", "over"].map((name) => [name, svg("g")]));
  chart.append(...Object.values(layers));
  const box = (values) => values.map((value, k) => rulers[k].unit(value));
  const model = {
    report, rulers, view, layers, columns, zoom: () => view.zoom * Math.min((width - 100) / 1.45, (height - 70) / 1.5),
    project(point) { const [across, up, depth] = turn(point, view), size = model.zoom(); return [width / 2 + 14 + across * size, height / 2 - 14 - up * size, depth]; },
    facets: facetsOf(report, columns).map((three) => inBox(three.map(box))).filter((piece) => piece.length > 2)
      .map((piece) => ({ corners: piece, node: svg("polygon", { class: "facet" }) })),
    points: rows.map((row) => ({ row, box: box(axes.map((axis) => axis.value(row))) })), probe: null,
  };
  drawSpaceMarks(model, chart);
  const places = model.points;
  const render = () => {
    const back = [0, 1, 2].map((k) => backSide(k, view));
    drawWalls(model, back);
    if (!model.facets.length) drawShadows(model, back);
    model.back = back;
    drawFacets(model);
    moveSpaceMarks(model);
    drawSpaceBars(model);
    probeInSpace(model);
  };
  turnable(chart, view, render);
  followPointer(report, chart, places, 14);
  render();
  const bars = () => drawSpaceBars(model);
  return {
    node: chart, render, light: bars, pick: bars, facets: model.facets.length > 0, exclude: () => dimFacets(model),
    probe: (place) => { model.probe = place && place.values && columns.every((j) => place.values[j] !== null) ? box(columns.map((j) => place.values[j])) : null; probeInSpace(model); },
  };
}

// Triangles of the predicted grid whose corners no other grid point dominates: the front as a surface.
function facetsOf(report, columns) {
  const { landscape, tasks } = report;
  if (!landscape || tasks.length !== 3 || columns.some((j) => landscape.values[0][j] === null)) return [];
  const signs = columns.map((j) => (report.objectives[j].direction === "minimise" ? 1 : -1));
  const costs = landscape.values.map((row) => columns.map((j, k) => signs[k] * row[j]));
  const best = costs.map((a) => !costs.some((b) => b !== a && b.every((cost, k) => cost <= a[k]) && b.some((cost, k) => cost < a[k])));
  return gridTriangles(landscape.weights, landscape.divisions).filter((three) => three.every((i) => best[i]))
    .map((three) => three.map((i) => columns.map((j) => landscape.values[i][j])));
}

// The part of a triangle that lies in the box.
const inBox = (triangle) => [0, 1, 2].reduce((piece, k) => clipped(clipped(piece, k, 1, -0.5), k, -1, 0.5), triangle);

// Which side of the box lies behind: -0.5 or 0.5 along axis `k`.
function backSide(k, view) {
  const end = [0, 0, 0];
  end[k] = 1;
  return turn(end, view)[2] >= -1e-9 ? 0.5 : -0.5;
}

function drawWalls(model, back) {
  const { rulers, layers, project } = model, walls = [], words = [], middle = project([0, 0, 0]);
  const path = (...ends) => corners(ends.map(project));
  for (const k of [0, 1, 2]) {
    const [a, b] = [0, 1, 2].filter((other) => other !== k);
    const on = (u, v) => { const point = [0, 0, 0]; point[k] = back[k]; point[a] = u; point[b] = v; return point; };
    for (const tick of rulers[a].ticks) walls.push(svg("path", { d: path(on(rulers[a].unit(tick), -0.5), on(rulers[a].unit(tick), 0.5)), class: "grid" }));
    for (const tick of rulers[b].ticks) walls.push(svg("path", { d: path(on(-0.5, rulers[b].unit(tick)), on(0.5, rulers[b].unit(tick))), class: "grid" }));
    walls.push(svg("path", { d: `${path(on(-0.5, -0.5), on(0.5, -0.5), on(0.5, 0.5), on(-0.5, 0.5))}Z`, class: "wall" }));
  }
  for (const k of [0, 1, 2]) {
    const edge = rulerEdge(model, k, back);
    if (edge) words.push(...rulerWords(model, k, edge, middle));
  }
  layers.walls.replaceChildren(...walls);
  layers.labels.replaceChildren(...words);
}

// Of the four edges along axis `k` the one on the outline where numbers are best read: lowest, or leftmost when upright.
function rulerEdge({ project }, k, back) {
  const [a, b] = [0, 1, 2].filter((other) => other !== k);
  const edges = [[-1, -1], [-1, 1], [1, -1], [1, 1]].map(([u, v]) => {
    const ends = [-0.5, 0.5].map((end) => { const point = [0, 0, 0]; point[k] = end; point[a] = u / 2; point[b] = v / 2; return point; });
    const [from, to] = ends.map(project), inner = u / 2 === back[a] && v / 2 === back[b], near = u / 2 !== back[a] && v / 2 !== back[b];
    return { ends, from, to, hidden: inner || near };
  }).filter((edge) => !edge.hidden);
  const { from, to } = edges[0], long = Math.hypot(to[0] - from[0], to[1] - from[1]);
  if (long < 40) return null;
  const upright = Math.abs(to[1] - from[1]) > 2 * Math.abs(to[0] - from[0]);
  const rank = ({ from: one, to: other }) => (upright ? one[0] + other[0] : -(one[1] + other[1]));
  return edges.reduce((best, edge) => (rank(edge) < rank(best) - 0.5 ? edge : best));
}

function rulerWords({ rulers, project }, k, { ends, from, to }, middle) {
  const { axis, ticks, decimals, unit } = rulers[k], words = [], centre = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2];
  let [outX, outY] = [-(to[1] - from[1]), to[0] - from[0]];
  if (outX * (centre[0] - middle[0]) + outY * (centre[1] - middle[1]) < 0) [outX, outY] = [-outX, -outY];
  const size = Math.hypot(outX, outY);
  [outX, outY] = [outX / size, outY / size];
  const anchor = outX < -0.5 ? "end" : outX > 0.5 ? "start" : "middle", skip = Math.ceil((34 * ticks.length) / size);
  let widest = 0;
  ticks.forEach((tick, i) => {
    if (i % skip) return;
    const place = [...ends[0]], text = show(tick, decimals);
    place[k] = unit(tick);
    const [x, y] = project(place);
    widest = Math.max(widest, textWidth(text, 12));
    words.push(svg("path", { d: corners([[x, y], [x + 5 * outX, y + 5 * outY]]), class: "frame" }));
    words.push(svg("text", { x: (x + 11 * outX).toFixed(1), y: (y + 13 * outY + 4).toFixed(1), "text-anchor": anchor, class: "tick" }, text));
  });
  const away = 27 + Math.abs(outX) * widest * 0.9, x = centre[0] + away * outX, y = centre[1] + away * outY;
  let angle = (Math.atan2(to[1] - from[1], to[0] - from[0]) * 180) / Math.PI, flipped = false;
  if (angle > 90 || angle <= -90.01) { angle += angle > 0 ? -180 : 180; flipped = true; }
  const better = axis.lower === flipped ? "better →" : "← better";
  const parts = axisWords({ ...axis, arrow: better }, size * 1.3);
  words.push(svg("text", { x: x.toFixed(1), y: (y + 4).toFixed(1), "text-anchor": "middle", class: "axis", transform: `rotate(${angle.toFixed(1)} ${x.toFixed(1)} ${y.toFixed(1)})` }, parts));
  return words;
}

// The front's points as they fall on the three walls behind.
function drawShadows({ points, layers, project, report }, back) {
  const dots = [];
  for (const { row, box } of points) {
    if (report.onFront.size && !report.onFront.has(row)) continue;
    for (const k of [0, 1, 2]) {
      const place = [...box];
      place[k] = back[k];
      const [x, y] = project(place);
      dots.push(`M${x.toFixed(1)},${y.toFixed(1)}h0`);
    }
  }
  layers.shadows.replaceChildren(svg("path", { d: dots.join(""), class: "shadow" }));
}

// Parts of the surface that a limit on one of its objectives excludes.
function dimFacets({ facets, rulers, columns }) {
  const limits = allLimits().map(({ axis, low, high }) => [columns.findIndex((j) => axis === `o${j}`), low, high]).filter(([k]) => k >= 0);
  for (const { corners: places, node } of facets) {
    const broken = limits.some(([k, low, high]) => {
      const middle = places.reduce((sum, place) => sum + place[k], 0) / places.length;
      return (low !== null && middle < rulers[k].unit(low)) || (high !== null && middle > rulers[k].unit(high));
    });
    node.classList.toggle("out", broken);
  }
}

function drawFacets({ facets, layers, project }) {
  for (const facet of facets) {
    const places = facet.corners.map(project), [a, b, c] = places;
    facet.depth = places.reduce((sum, place) => sum + place[2], 0) / places.length;
    const turned = Math.abs((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]));
    facet.node.setAttribute("points", places.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "));
    facet.node.setAttribute("fill-opacity", turned < 4 ? 0.3 : 0.18);
  }
  layers.facets.replaceChildren(...[...facets].sort((a, b) => b.depth - a.depth).map(({ node }) => node));
}
