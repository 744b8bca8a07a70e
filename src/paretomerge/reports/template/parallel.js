// Parallel coordinates: one vertical axis per objective (and weight), each turned so that better is up.
function parallel(report, rows, keys, { width, height }) {
  const left = 64, right = 64, bottom = 26;
  let plain = keys.map((key) => axisOf(report, key));
  const room = Math.max(6, Math.floor(((width - left - right) / (plain.length - 1) - 10) / 7.2));
  const brief = plain.some(({ name }) => name.length > room), top = brief ? 66 : 50;
  const names = shortNames(report, plain.filter(({ column }) => column !== null).map(({ column }) => column));
  if (brief) plain = plain.map((axis, k) => (axis.column === null ? axis : { ...axis, name: names[k - plain.length + names.length] }));
  rows = rows.filter((row) => plain.every((axis) => axis.value(row) !== null));
  if (!rows.length) return { node: html("p", { class: "empty" }, "No point to show.") };
  const gap = (width - left - right) / (plain.length - 1);
  const axes = plain.map((axis, k) => {
    const values = rows.map(axis.value), low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
    const best = axis.lower ? low : high, worst = axis.lower ? high : low, flat = best === worst;
    const Y = (value) => (flat ? (top + height - bottom) / 2 : top + ((value - best) / (worst - best)) * (height - top - bottom));
    const value = (y) => (flat ? best : best + ((Math.min(height - bottom, Math.max(top, y)) - top) / (height - top - bottom)) * (worst - best));
    return { ...axis, row: axis.value, x: left + k * gap, best, worst, low, high, flat, Y, at: value };
  });
  const chart = blank(width, height, `Parallel coordinates of ${axes.map((axis) => axis.name).join(", ")}; better is up. Arrow keys walk through the points.`);
  const grounds = svg("g"), numbers = svg("g", { "aria-hidden": "true" }), limits = svg("g", { "aria-hidden": "true" }), strands = svg("g"), brushes = svg("g"), probed = svg("g", { "aria-hidden": "true" });
  for (const axis of axes) drawRuler(grounds, numbers, axis, { top, bottom: height - bottom, room });
  grounds.append(svg("text", { x: 12, y: top, transform: `rotate(-90 12 ${top})`, "text-anchor": "end" }, "better →"));
  chart.append(grounds, strands, numbers, limits, probed, brushes);
  drawStrands(report, chart, strands, rows, axes);
  const brushing = brushable(report, chart, brushes, axes, { top, bottom: height - bottom, reach: Math.min(16, gap / 2 - 2) });
  const outlined = () => { for (const row of [scene.picked, scene.lit]) for (const node of drawn.get(row) || []) if (node.parentNode === strands) raise(node); };
  return {
    node: chart, axes, light: outlined, pick: outlined,
    exclude: () => {
      brushing();
      limits.replaceChildren(...(scene.limits.get("wishes") || []).flatMap((limit) => axes.filter((axis) => axis.key === limit.axis).flatMap((axis) => wishMarks(axis, limit, top, height - bottom))));
    },
    probe: (place) => {
      const value = (axis) => (axis.key[0] === "w" ? place.weights : place.values || [])[Number(axis.key.slice(1))];
      if (!place || axes.some((axis) => value(axis) === null || value(axis) === undefined)) return probed.replaceChildren();
      const clamp = (y) => Math.max(top - 8, Math.min(height - bottom + 8, y)), line = axes.map((axis) => [axis.x, clamp(axis.Y(value(axis)))]);
      const ends = axes.filter((axis) => axis.column !== null && place.lower && place.lower[axis.column] !== null).map((axis) =>
        svg("path", { d: corners([place.lower[axis.column], place.upper[axis.column]].map((end) => [axis.x, clamp(axis.Y(end))])), class: "error probing wide" }));
      probed.replaceChildren(svg("path", { d: corners(line), class: "probe-line halo" }), svg("path", { d: corners(line), class: "probe-line" }), ...ends);
    },
  };
}

// The axis under its name; best on top, worst at the bottom, round numbers between.
function drawRuler(layer, numbers, axis, { top, bottom, room }) {
  const middle = { x: axis.x.toFixed(1), "text-anchor": "middle" }, shown = wrapped(axis.name, room);
  layer.append(svg("path", { d: `M${axis.x.toFixed(1)},${top}V${bottom}`, class: "frame" }));
  const small = [axis.unit, axis.column === null ? "" : axis.lower ? "lower is better" : "higher is better"].filter((word) => word).join(", ");
  shown.forEach((line, i) => layer.append(svg("text", { ...middle, y: top - 30 - 15 * (shown.length - 1 - i), class: "axis" }, [line, svg("title", {}, `${axis.label}`)])));
  if (small.length <= room) layer.append(svg("text", { ...middle, y: top - 13, class: "tick" }, small));
  else if (axis.unit && axis.unit.length <= room) layer.append(svg("text", { ...middle, y: top - 13, class: "tick" }, axis.unit));
  const { ticks, decimals } = axis.flat ? { ticks: [axis.best], decimals: axis.decimals } : ticksOf(axis.low, axis.high, 5);
  for (const tick of ticks) {
    const y = axis.Y(tick).toFixed(1);
    layer.append(svg("path", { d: `M${(axis.x - 4).toFixed(1)},${y}h8`, class: "frame" }));
    numbers.append(svg("text", { x: (axis.x - 8).toFixed(1), y: (Number(y) + 4).toFixed(1), "text-anchor": "end", class: "tick over" }, show(tick, decimals)));
  }
}

// At most two lines of `room` characters, cut between words.
function wrapped(text, room) {
  if (text.length <= room) return [text];
  const place = text.lastIndexOf(" ", room), first = place > 2 ? text.slice(0, place) : text.slice(0, room - 1) + "…";
  return place > 2 ? [first, short(text.slice(place + 1), room)] : [first];
}

const raise = (node) => { if (node.parentNode.lastChild !== node && !node.parentNode.contains(document.activeElement)) node.parentNode.append(node); };

function drawStrands(report, chart, layer, rows, axes) {
  const { origin } = report.points, counts = {};
  for (const row of rows) counts[origin[row]] = (counts[origin[row]] || 0) + 1;
  const nodes = [];
  for (const row of [...rows].sort((a, b) => rankOf(report, a) - rankOf(report, b))) {
    const chosen = row === report.chosen, places = axes.map((axis) => [axis.x, axis.Y(axis.row(row))]), d = corners(places);
    const faint = !chosen && counts[origin[row]] > 8 ? Math.max(0.12, Math.min(0.7, (origin[row] === "predicted" ? 30 : 10) / counts[origin[row]])) : null;
    const small = origin[row] === "predicted" || counts[origin[row]] > MANY;
    const node = svg("g", { class: chosen ? "point chosen" : "point" }, [
      svg("path", { d, class: `strand line-${origin[row]}`, "stroke-opacity": faint }),
      svg("path", { d, class: "touch" }),
      ...(small && !chosen ? [] : places.map(([x, y]) => chosen
        ? svg("path", { d: starPath(x, y, 9), class: "star" }) : svg("path", { d: markPath(origin[row], x, y, 3.2), class: `mark fill-${origin[row]}` }))),
    ]);
    node.addEventListener("pointermove", (event) => { if (!event.buttons) showTooltip(report, row, event.clientX, event.clientY); });
    node.addEventListener("pointerleave", hideTooltip);
    layer.append(node);
    remember(row, node);
    nodes.push({ node, row, y: places[0][1] });
  }
  makeWalkable(report, chart, nodes.sort((a, b) => a.y - b.y));
}

// What a wish asks for, on its axis.
function wishMarks(axis, { low, high }, top, bottom) {
  return [low, high].filter((limit) => limit !== null).map((limit) => {
    const y = Math.max(top, Math.min(bottom, axis.Y(limit))).toFixed(1);
    return svg("path", { d: `M${(axis.x - 11).toFixed(1)},${y}h22m-6,-6l-5,6l-5,-6`, class: "limit" });
  });
}
