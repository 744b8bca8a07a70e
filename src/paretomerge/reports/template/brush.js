// Brushing: a range dragged on an axis greys out every point beyond it, in all charts and in the table.
// Ranges are kept by axis, so that they survive a redraw; {low, high} in the axis's own numbers.
const brushes = new Map();

function brushed() {
  setLimits("brush", [...brushes].map(([axis, { low, high }]) => ({ axis, low, high })));
}

function setBrush(axis, one, other) {
  if (one === null || axis.flat) brushes.delete(axis.key);
  else {
    const slack = 1e-9 * (axis.high - axis.low);  // an end of the axis leaves nothing out by rounding
    brushes.set(axis.key, { low: Math.min(one, other) - slack, high: Math.max(one, other) + slack });
  }
  brushed();
}

// Drag on an axis to set a range, drag the range to move it, its ends to change it; a click clears it.
function brushable(report, chart, layer, axes, { top, bottom, reach }) {
  for (const axis of axes) {
    axis.zone = svg("rect", { x: axis.x - reach, y: top - 6, width: 2 * reach, height: bottom - top + 12, class: "zone" });
    axis.range = svg("rect", { x: axis.x - 8, width: 16, class: "range" });
    axis.grips = [0, 1].map(() => svg("path", { class: "grip" }));
    axis.texts = [0, 1].map(() => svg("text", { x: axis.x + 12, class: "tick over strong" }));
    layer.append(axis.zone, axis.range, ...axis.grips, ...axis.texts);
    axis.zone.addEventListener("pointerdown", (event) => startBrush(chart, axis, event, { top, bottom }));
  }
  return () => { for (const axis of axes) showBrush(axis); };
}

// Where a range begins and ends on its axis, in pixels from the top.
const endsOn = (axis, { low, high }) => [low, high].map((value) => axis.Y(Math.max(axis.low, Math.min(axis.high, value)))).sort((a, b) => a - b);

function showBrush(axis) {
  const range = brushes.get(axis.key), parts = [axis.range, ...axis.grips, ...axis.texts];
  for (const part of parts) part.classList.toggle("none", !range);
  if (!range) return;
  const ends = endsOn(axis, range);
  fill(axis.range, { y: ends[0].toFixed(1), height: Math.max(1, ends[1] - ends[0]).toFixed(1) });
  ends.forEach((y, i) => {
    axis.grips[i].setAttribute("d", `M${axis.x - 9},${y.toFixed(1)}h18`);
    axis.texts[i].setAttribute("y", (y + (i ? 14 : -5)).toFixed(1));
    axis.texts[i].textContent = show(axis.at(y), axis.decimals);
  });
}

function startBrush(chart, axis, event, { top, bottom }) {
  if (event.button || axis.flat) return;
  event.stopPropagation();
  event.preventDefault();
  hideTooltip();
  const start = placeIn(chart, event)[1], range = brushes.get(axis.key);
  const ends = range ? endsOn(axis, range) : null;
  const grip = ends ? ends.findIndex((y) => Math.abs(y - start) < 8) : -1;
  const inside = ends && start > ends[0] && start < ends[1] && ends[1] - ends[0] < bottom - top - 1;
  const fixed = grip >= 0 ? ends[1 - grip] : start;
  let moved = false;
  const move = (now) => {
    const y = Math.max(top, Math.min(bottom, placeIn(chart, now)[1]));
    if (Math.abs(y - start) > 3) moved = true;
    if (!moved) return;
    if (grip < 0 && inside) {
      const shift = Math.max(top - ends[0], Math.min(bottom - ends[1], y - start));
      setBrush(axis, axis.at(ends[0] + shift), axis.at(ends[1] + shift));
    } else setBrush(axis, axis.at(fixed), axis.at(y));
  };
  const finish = () => {
    if (!moved) setBrush(axis, null);
    axis.zone.removeEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) axis.zone.removeEventListener(end, finish);
    tellRanges();
  };
  axis.zone.setPointerCapture(event.pointerId);
  axis.zone.addEventListener("pointermove", move);
  for (const end of ["pointerup", "pointercancel"]) axis.zone.addEventListener(end, finish);
}

// The same by keyboard: two sliders per axis, from its worst to its best value, and how many points are left.
const STOPS = 100;
let tellRanges = () => {};

function rangeControls(report, rows, axes) {
  const count = html("output", { class: "count" }), clear = html("button", { type: "button", class: "action" }, "Clear ranges");
  const lines = axes.filter((axis) => !axis.flat).map((axis) => {
    const value = (input) => axis.worst + (Number(input.value) / STOPS) * (axis.best - axis.worst);
    const place = (number) => Math.max(0, Math.min(STOPS, Math.round((STOPS * (number - axis.worst)) / (axis.best - axis.worst))));
    const inputs = ["worst", "best"].map((end, i) =>
      html("input", { type: "range", min: 0, max: STOPS, value: i * STOPS, "aria-label": `${axis.name}, ${end} value of the range` }));
    const text = html("span", { class: "number" });
    const tell = () => {
      const range = brushes.get(axis.key), ends = range ? [range.low, range.high].map(place).sort((a, b) => a - b) : [0, STOPS];
      inputs.forEach((input, i) => { input.value = ends[i]; input.setAttribute("aria-valuetext", show(value(input), axis.decimals)); });
      text.textContent = range ? inputs.map((input) => show(value(input), axis.decimals)).join(" to ") : "all";
    };
    inputs.forEach((input, i) => input.addEventListener("input", () => {
      const other = inputs[1 - i];
      if (i ? Number(input.value) < Number(other.value) : Number(input.value) > Number(other.value)) other.value = input.value;
      const whole = Number(inputs[0].value) === 0 && Number(inputs[1].value) === STOPS;
      setBrush(axis, whole ? null : value(inputs[0]), value(inputs[1]));
    }));
    return { tell, node: html("div", { class: "range-row" }, [html("span", { class: "name" }, short(axis.name, 30)), ...inputs, text]) };
  });
  const update = () => {
    for (const { tell } of lines) tell();
    const left = rows.filter((row) => !scene.excluded.has(row)).length;
    count.textContent = scene.excluded.size ? `${left} of ${rows.length} points within all ranges and wishes` : `${rows.length} points`;
    clear.hidden = !brushes.size;
  };
  tellRanges = update;
  clear.addEventListener("click", () => { brushes.clear(); brushed(); });
  const details = html("details", { class: "ranges" }, [html("summary", {}, "Ranges by keyboard"), html("div", { class: "range-rows" }, lines.map(({ node }) => node))]);
  update();
  return { node: html("div", {}, [html("div", { class: "brush-bar" }, [count, clear, html("span", { class: "hint" }, "Drag on an axis to keep a range; click it to clear.")]), details]), update };
}
