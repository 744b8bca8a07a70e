// Marks in space, and the gestures that turn them.
function drawSpaceMarks({ report, points, layers }, chart) {
  const counts = {};
  for (const { row } of points) counts[report.points.origin[row]] = (counts[report.points.origin[row]] || 0) + 1;
  for (const point of points) {
    const origin = report.points.origin[point.row], radius = origin === "predicted" ? (counts.predicted > MANY ? 2.6 : 3.6) : 5;
    const path = point.row === report.chosen
      ? svg("path", { d: starPath(0, 0, 11), class: "mark star" })
      : svg("path", { d: markPath(origin, 0, 0, radius), class: `mark fill-${origin}` });
    point.node = svg("g", { class: "point" }, path);
    point.rank = rankOf(report, point.row);
    remember(point.row, point.node);
  }
  layers.marks.append(...points.map(({ node }) => node));
  makeWalkable(report, chart, [...points].sort((a, b) => a.box[0] - b.box[0]));
}

// Nearer marks cover those behind; measured ones cover predicted ones. Focus stays where it is.
function moveSpaceMarks({ points, layers, project, report }) {
  for (const point of points) {
    [point.x, point.y, point.depth] = project(point.box);
    point.node.setAttribute("transform", `translate(${point.x.toFixed(1)},${point.y.toFixed(1)})`);
  }
  if (!layers.marks.contains(document.activeElement)) {
    const order = (point) => point.depth - (point.rank > 0 ? 2 : 0) - (point.rank === 3 ? 2 : 0);
    layers.marks.append(...[...points].sort((a, b) => order(b) - order(a)).map(({ node }) => node));
  }
  const chosen = points.find(({ row }) => row === report.chosen);
  layers.over.replaceChildren(...(chosen ? [svg("text", { x: (chosen.x + 14).toFixed(1), y: (chosen.y + 4).toFixed(1), class: "note" }, "chosen")] : []), layers.probe || "");
}

// Intervals of the point that is lit or picked, along all three axes, and its guides to the walls.
function drawSpaceBars({ rulers, layers, project, points, back }) {
  const bars = [];
  for (const row of new Set([scene.lit, scene.picked])) {
    const point = points.find((known) => known.row === row);
    if (!point) continue;
    for (const k of row === scene.lit || scene.lit === null ? [0, 1, 2] : []) {
      const wall = [...point.box];
      wall[k] = back[k];
      const foot = project(wall);
      bars.push(svg("path", { d: corners([project(point.box), foot]), class: "link" }), svg("path", { d: markPath("predicted", foot[0], foot[1], 2.2), class: "foot" }));
    }
    rulers.forEach(({ axis, unit }, k) => {
      const ends = axis.ends(row);
      if (!ends) return;
      const path = ends.map((end) => { const place = [...point.box]; place[k] = unit(end); return project(place); });
      bars.push(svg("path", { d: corners(path), class: "error strong" }));
    });
  }
  layers.bars.replaceChildren(...bars);
}

function probeInSpace(model) {
  if (model.layers.probe) model.layers.probe.remove();
  model.layers.probe = model.probe ? probeMark(...model.project(model.probe).slice(0, 2)) : null;
  if (model.layers.probe) model.layers.over.append(model.layers.probe);
}

const stillness = matchMedia("(prefers-reduced-motion: reduce)");

// Turns to a view; at once for those who want no motion.
function turnTo(view, azimuth, elevation, render) {
  const from = { ...view }, start = performance.now(), time = stillness.matches ? 0 : 350;
  const step = (now) => {
    const part = time ? Math.min(1, Math.max(0, (now - start) / time)) : 1, eased = part * part * (3 - 2 * part);
    view.azimuth = from.azimuth + eased * (azimuth - from.azimuth);
    view.elevation = from.elevation + eased * (elevation - from.elevation);
    view.zoom = from.zoom + eased * (1 - from.zoom);
    render();
    if (part < 1) requestAnimationFrame(step);
  };
  step(start);
}

function turnable(chart, view, render) {
  const turned = (across, up) => {
    view.azimuth += across;
    view.elevation = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, view.elevation + up));
    render();
  };
  const zoomed = (factor) => { view.zoom = Math.max(0.6, Math.min(6, view.zoom * factor)); render(); };
  let last = null;
  chart.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    chart.focus({ preventScroll: true });
    last = [event.clientX, event.clientY];
    chart.setPointerCapture(event.pointerId);
    chart.classList.add("turning");
    hideTooltip();
  });
  chart.addEventListener("pointermove", (event) => {
    if (!last) return;
    turned((last[0] - event.clientX) * 0.009, (event.clientY - last[1]) * 0.009);
    last = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) chart.addEventListener(end, () => { last = null; chart.classList.remove("turning"); });
  // the page scrolls over a chart that nobody is using
  chart.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !chart.contains(document.activeElement)) return;
    event.preventDefault();
    zoomed(Math.exp(-event.deltaY * 0.0015));
  }, { passive: false });
  chart.addEventListener("keydown", (event) => {
    if (event.target !== chart || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => turned(0.12, 0), ArrowRight: () => turned(-0.12, 0), ArrowUp: () => turned(0, -0.12), ArrowDown: () => turned(0, 0.12),
      "+": () => zoomed(1.2), "=": () => zoomed(1.2), "-": () => zoomed(1 / 1.2), Home: () => turnTo(view, VIEWS[0][1], VIEWS[0][2], render),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

// Buttons that turn to space, or square to each pair of objectives.
function viewButtons(report, columns, view, render) {
  const names = shortNames(report, columns).map((name) => short(name, 16));
  const words = ["3-D", `${names[0]} × ${names[1]}`, `${names[0]} × ${names[2]}`, `${names[1]} × ${names[2]}`];
  return VIEWS.map(([, azimuth, elevation], i) => {
    const button = html("button", { type: "button", class: "action" }, words[i]);
    button.addEventListener("click", () => turnTo(view, azimuth, elevation, render));
    return button;
  });
}
