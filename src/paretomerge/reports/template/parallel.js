// Parallel coordinates: one vertical axis per objective, each turned so that better is up.
function parallel(report, visible, columns) {
  const width = 1180, height = 480, left = 80, right = 80, top = 34, bottom = 78;
  const { values, origin } = report.points;
  const rows = visible.filter((row) => columns.every((j) => values[row][j] !== null));
  if (!rows.length) return html("p", { class: "empty" }, "No point to show.");
  const gap = (width - left - right) / (columns.length - 1);
  const axes = columns.map((j, k) => {
    let low = Infinity, high = -Infinity;
    for (const row of rows) { low = Math.min(low, values[row][j]); high = Math.max(high, values[row][j]); }
    const lower = report.objectives[j].direction === "minimise";
    const best = lower ? low : high, worst = lower ? high : low;
    const Y = (value) => (best === worst ? (top + height - bottom) / 2 : top + ((value - best) / (worst - best)) * (height - top - bottom));
    return { j, x: left + k * gap, best, worst, Y };
  });
  const names = columns.map((j) => report.objectives[j].name).join(", ");
  const chart = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, class: "plot", role: "group",
    "aria-label": `Parallel coordinates of ${names}; better is up. Arrow keys walk through the points.`,
  });
  const room = Math.max(6, Math.floor(gap / 6.6));
  for (const { j, x, best, worst } of axes) {
    const objective = report.objectives[j], middle = { x, "text-anchor": "middle" };
    chart.append(svg("path", { d: `M${x},${top}V${height - bottom}`, class: "frame" }));
    chart.append(svg("text", { ...middle, y: top - 12, class: "tick" }, show(best, report.decimals[j])));
    chart.append(svg("text", { ...middle, y: height - bottom + 20, class: "tick" }, show(worst, report.decimals[j])));
    chart.append(svg("text", { ...middle, y: height - bottom + 44, class: "axis" }, [short(objective.name, room), svg("title", {}, objective.label)]));
    const small = `${objective.unit ? `[${objective.unit}], ` : ""}${objective.better}`;
    chart.append(svg("text", { ...middle, y: height - bottom + 62 }, room < 16 ? short(objective.unit, room) : short(small, room)));
  }
  chart.append(svg("text", { x: 16, y: top + 4, transform: `rotate(-90 16 ${top + 4})`, "text-anchor": "end" }, "better →"));
  drawStrands(report, chart, rows, axes);
  return chart;
}

function drawStrands(report, chart, rows, axes) {
  const { values, origin } = report.points;
  const order = ["predicted", "merged", "trained"];
  const rank = (row) => (row === report.chosen ? 3 : order.indexOf(origin[row]));
  const predicted = rows.filter((row) => origin[row] === "predicted").length;
  const fade = predicted > MANY ? Math.max(0.06, 40 / predicted) : null;
  const nodes = [];
  for (const row of [...rows].sort((a, b) => rank(a) - rank(b))) {
    const chosen = row === report.chosen;
    const corners = axes.map(({ j, x, Y }) => [x, Y(values[row][j])]);
    const d = `M${corners.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}`;
    const radius = origin[row] === "predicted" ? 2.6 : 4.2;
    const node = svg("g", { class: chosen ? "point chosen" : "point" }, [
      svg("path", { d, class: `strand line-${origin[row]}`, "stroke-opacity": chosen || origin[row] !== "predicted" ? null : fade }),
      svg("path", { d, class: "touch" }),
      ...corners.map(([x, y]) => chosen
        ? svg("path", { d: starPath(x, y, 10), class: "star" })
        : svg("path", { d: markPath(origin[row], x, y, radius), class: `mark fill-${origin[row]}` })),
    ]);
    node.addEventListener("pointermove", (event) => showTooltip(report, row, event.clientX, event.clientY));
    node.addEventListener("pointerleave", hideTooltip);
    chart.append(node);
    remember(row, node);
    nodes.push({ node, row, y: corners[0][1] });
  }
  makeWalkable(report, chart, nodes.sort((a, b) => a.y - b.y));
}
