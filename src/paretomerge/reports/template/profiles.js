// Two tasks: one objective along the weight between them, with the surrogate's interval and everything measured.
function profile(report, rows, j, { width, height }) {
  const { landscape, points, tasks } = report, axisY = axisOf(report, `o${j}`), left = 62, right = 16, top = 12, bottom = 46;
  rows = rows.filter((row) => points.values[row][j] !== null && onSimplex(points.weights[row]) && (points.origin[row] !== "predicted" || row === report.chosen || !landscape));
  const known = landscape && landscape.values[0][j] !== null;
  const curve = known ? landscape.weights.map((weights, i) => [weights[0], landscape.values[i][j], landscape.lower[i][j], landscape.upper[i][j]]).sort((a, b) => a[0] - b[0]) : [];
  const ends = curve.flatMap(([, , low, high]) => (low === null ? [] : [low, high]));
  const [lowY, highY] = domainOf([...curve.map((row) => row[1]), ...rows.map(axisY.value)], [...ends, ...rows.flatMap((row) => axisY.ends(row) || [])], 0.5);
  const chart = blank(width, height, `${axisY.label} along the weight of ${tasks[0]}, from all ${tasks[1]} to all ${tasks[0]}. Arrow keys walk through the points.`);
  const X = scaleOfAxis(0, 1, left, width - right), Y = scaleOfAxis(lowY, highY, height - bottom, top);
  const axisX = { name: `weight of ${short(tasks[0], 24)}`, label: "", unit: `(that of ${short(tasks[1], 24)} is the rest)`, arrow: "" };
  drawFrame(chart, { width, height, left, right, top, bottom, lowX: 0, highX: 1, lowY, highY, X, Y, axisX, axisY });
  const name = `along-${scene.charts.length}`, field = svg("g", { "clip-path": `url(#${name})` }), marks = svg("g"), veil = svg("g"), lit = svg("g"), probed = svg("g");
  chart.append(svg("defs", {}, svg("clipPath", { id: name }, svg("rect", { x: left - 6, y: top, width: width - left - right + 12, height: height - top - bottom }))), field, marks);
  if (ends.length) field.append(svg("path", { d: `${corners([...curve.map(([x, , low]) => [X(x), Y(low)]), ...[...curve].reverse().map(([x, , , high]) => [X(x), Y(high)])])}Z`, class: "band band-predicted" }));
  if (curve.length) field.append(svg("path", { d: corners(curve.map(([x, y]) => [X(x), Y(y)])), class: "front line-predicted" }));
  field.append(veil, lit);
  const along = { ...axisOf(report, "w0") }, at = (row) => [X(along.value(row)), Y(axisY.value(row))];
  for (const row of rows) if (points.origin[row] !== "predicted") field.append(...barsOf(row, along, axisY, X, Y, `error line-${points.origin[row]}`, at(row)));
  drawMarks(report, chart, marks, rows, at);
  chart.append(probed);
  movesProbe(report, chart, (x, y) => {
    const share = (x - left) / (width - left - right);
    return y > top && y < height - bottom + 4 && share > -0.02 && share < 1.02 ? normal([share, 1 - share]) : null;
  });
  const outlined = () => lit.replaceChildren(...[...new Set([scene.lit, scene.picked])].filter((row) => rows.includes(row)).flatMap((row) => barsOf(row, along, axisY, X, Y, "error strong", at(row))));
  return {
    node: chart, light: outlined, pick: outlined,
    probe: (place) => {
      if (!place || !place.values || place.values[j] === null) return probed.replaceChildren();
      const x = X(place.weights[0]).toFixed(1);
      probed.replaceChildren(svg("path", { d: `M${x},${top}V${height - bottom}`, class: "error probing thin" }), ...probeIn(report, place, along, axisY, X, Y));
    },
    exclude: () => {
      veil.replaceChildren();
      for (const { axis, low, high } of allLimits()) {
        if (axis !== `o${j}`) continue;
        for (const [limit, edge] of [[low, height - bottom], [high, top]]) {
          if (limit === null) continue;
          const y = Math.max(top, Math.min(height - bottom, Y(limit)));
          veil.append(svg("rect", { x: left, y: Math.min(y, edge), width: width - left - right, height: Math.abs(edge - y), class: "veil" }), svg("path", { d: `M${left},${y}H${width - right}`, class: "limit" }));
        }
      }
    },
  };
}
