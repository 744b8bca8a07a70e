// A scatter matrix: every pair of objectives in small. Choosing a cell shows it large beside.
const MOST_IN_MATRIX = 10;

function matrix(report, rows, columns, { width, picked, choose }) {
  columns = columns.slice(0, MOST_IN_MATRIX);
  const axes = columns.map((j) => axisOf(report, `o${j}`)), count = columns.length - 1;
  rows = rows.filter((row) => axes.every((axis) => axis.value(row) !== null));
  const left = 18, foot = 20, cell = (width - left) / count, pad = 5, height = count * cell + foot;
  const chart = fill(blank(width, height, "Scatter matrix. Arrow keys move between the pairs, Enter shows a pair large."), { role: "group" });
  const scales = axes.map((axis) => { const [low, high] = domainOf(rows.map(axis.value)); return (from, to) => scaleOfAxis(low, high, from, to); });
  const cells = [];
  for (let up = 1; up < columns.length; up++) {
    for (let across = 0; across < up; across++) {
      const x = left + across * cell, y = (up - 1) * cell;
      const X = scales[across](x + pad, x + cell - pad), Y = scales[up](y + cell - pad, y + pad);
      cells.push({ across, up, x, y, at: (row) => [X(axes[across].value(row)), Y(axes[up].value(row))], probe: (values) => [X(values[columns[across]]), Y(values[columns[up]])] });
    }
  }
  for (const each of cells) drawCell(report, chart, each, { cell, pad, axes, choose, current: axes[each.across].key === picked.x && axes[each.up].key === picked.y });
  walkCells(chart, cells);
  const room = Math.max(5, Math.floor(cell / 7)), names = shortNames(report, columns), shown = (k) => short(axes[k].name.length > room ? names[k] : axes[k].name, room);
  axes.slice(0, -1).forEach((axis, k) => chart.append(svg("text", { x: left + (k + 0.5) * cell, y: height - 5, "text-anchor": "middle", class: "axis" }, [shown(k), svg("title", {}, axis.label)])));
  axes.slice(1).forEach((axis, k) => { const y = (k + 0.5) * cell; chart.append(svg("text", { x: 11, y, transform: `rotate(-90 11 ${y})`, "text-anchor": "middle", class: "axis" }, [shown(k + 1), svg("title", {}, axis.label)])); });
  const ring = () => { for (const each of cells) ringIn(each, [scene.lit, scene.picked].filter((row) => rows.includes(row))); };
  return {
    node: chart, light: ring, pick: ring,
    exclude: (excluded) => { for (const each of cells) fillCell(report, each, rows, excluded); },
    probe: (place) => {
      for (const each of cells) {
        const known = place && place.values && [each.across, each.up].every((k) => place.values[columns[k]] !== null);
        each.probed.replaceChildren(...(known ? [svg("path", { d: markPath("predicted", ...each.probe(place.values), 4.5), class: "small-probe" })] : []));
      }
    },
  };
}

function drawCell(report, chart, each, { cell, pad, axes, choose, current }) {
  const names = `${axes[each.up].name} against ${axes[each.across].name}`;
  each.marks = svg("g");
  each.rings = svg("g");
  each.probed = svg("g");
  each.node = svg("g", { class: current ? "cell current" : "cell", role: "button", tabindex: -1, "aria-label": names, "aria-pressed": String(current) }, [
    svg("rect", { x: each.x + pad / 2, y: each.y + pad / 2, width: cell - pad, height: cell - pad, rx: 3 }), each.marks, each.rings, each.probed, svg("title", {}, names)]);
  each.node.addEventListener("click", () => choose(axes[each.across].key, axes[each.up].key));
  chart.append(each.node);
}

// Points of one kind are one path: a matrix of hundreds of points stays a few hundred elements.
function fillCell(report, each, rows, excluded) {
  const paths = [];
  for (const out of [true, false]) {
    for (const origin of ORDER) {
      const some = rows.filter((row) => report.points.origin[row] === origin && row !== report.chosen && excluded.has(row) === out);
      const d = some.map((row) => markPath(origin, ...each.at(row), origin === "predicted" ? 1.4 : 2.2)).join("");
      if (d) paths.push(svg("path", { d, class: `fill-${origin}${out ? " out" : ""}` }));
    }
  }
  if (rows.includes(report.chosen)) paths.push(svg("path", { d: starPath(...each.at(report.chosen), 6.5), class: "star" }));
  each.marks.replaceChildren(...paths);
}

function ringIn(each, rows) {
  const radius = (row) => (row === scene.report.chosen ? 8 : 4);
  each.rings.replaceChildren(...[...new Set(rows)].map((row) => svg("path", { d: markPath("predicted", ...each.at(row), radius(row)), class: "small-ring" })));
}

function walkCells(chart, cells) {
  const first = cells.find(({ node }) => node.classList.contains("current")) || cells[0];
  first.node.setAttribute("tabindex", 0);
  chart.addEventListener("keydown", (event) => {
    const here = cells.find(({ node }) => node === document.activeElement);
    if (!here) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); here.node.dispatchEvent(new Event("click")); return; }
    const [across, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
    const next = (across || up) && cells.find((cell) => cell.across === here.across + across && cell.up === here.up + up);
    if (!across && !up) return;
    event.preventDefault();
    if (!next) return;
    here.node.setAttribute("tabindex", -1);
    next.node.setAttribute("tabindex", 0);
    next.node.focus();
  });
}
