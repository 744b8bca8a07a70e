// Sorting, the table of points, and its CSV.
function keyOf(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.key === undefined) return cell.textContent;
  return cell.dataset.key === "" ? null : Number(cell.dataset.key);
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells], head = heads[column];
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of heads) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row, column), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);  // missing numbers stay last
    const order = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    return ascending ? order : -order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => sortBy(table, column));
  });
}

function pointsTable(report) {
  const { points, tasks, objectives } = report;
  const head = (text, numeric) =>
    html("th", { scope: "col", class: [numeric && "number", /\S{15}/.test(text) && "long"].filter(Boolean).join(" ") },
      html("button", { type: "button", title: text.length > 36 ? text : null }, short(text, 36)));
  const number = (text, key) => html("td", { class: "number", "data-key": key === null ? "" : key }, text);
  const heads = [
    head("#", true), head("origin"), head("front"),
    ...tasks.map((task) => head(`weight ${task}`, true)),
    ...objectives.map((objective) => head(objective.unit ? `${objective.name} [${objective.unit}]` : objective.name, true)),
  ];
  const body = html("tbody");
  points.origin.forEach((origin, row) => {
    const label = report.origins.find((known) => known.key === origin).label;
    const line = html("tr", { "data-origin": origin, "data-row": row, class: row === report.chosen ? "chosen" : null }, [
      number(String(row), row),
      html("td", { class: "origin" }, [keySymbol(origin), row === report.chosen ? `${label}, chosen` : label]),
      html("td", {}, report.onFront.has(row) ? "yes" : ""),
      ...points.weights[row].map((weight) => number(show(weight, report.weightDecimals), weight)),
      ...points.values[row].map((value, j) =>
        number(showInterval(value, report.interval * points.stderr[row][j], report.decimals[j]), value)),
    ]);
    line.addEventListener("pointerenter", () => light(row));
    line.addEventListener("pointerleave", () => light(null));
    remember(row, line);
    body.append(line);
  });
  return html("table", { class: "sortable" }, [html("thead", {}, html("tr", {}, heads)), body]);
}

// Numbers in full. A name that a spreadsheet would run as a formula gets an apostrophe in front.
function csvOf(report, rows) {
  const { points, tasks, objectives } = report;
  const text = (word) => `"${(/^[=+\-@\t\r]/.test(word) ? "'" + word : word).replace(/"/g, '""')}"`;
  const number = (value) => (value === null ? "" : String(value));
  const lines = [[
    "point", "origin", "on front", "chosen",
    ...tasks.map((task) => text(`weight ${task}`)),
    ...objectives.flatMap(({ name }) => [text(name), text(`${name} stderr`)]),
  ].join(",")];
  for (const row of rows) lines.push([
    row, points.origin[row], report.onFront.has(row) ? 1 : 0, row === report.chosen ? 1 : 0,
    ...points.weights[row].map(number),
    ...objectives.flatMap((_, j) => [number(points.values[row][j]), points.values[row][j] === null ? "" : number(points.stderr[row][j])]),
  ].join(","));
  return lines.join("\r\n") + "\r\n";
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob(["\ufeff" + text], { type: "text/csv;charset=utf-8" }));
  const link = html("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

// The table, and which of its rows are shown and downloaded: all, or those that keep every wish and brush.
function drawPoints(report) {
  document.getElementById("points").append(pointsTable(report));
  const box = html("input", { type: "checkbox", id: "only-kept" }), count = html("span", { class: "hint", role: "status" });
  const button = html("button", { type: "button", id: "download", class: "action" }, "Download CSV");
  const all = report.points.origin.map((_, row) => row), lines = document.querySelectorAll("#points tbody tr");
  const kept = () => all.filter((row) => !box.checked || !scene.excluded.has(row));
  const update = () => {
    const rows = kept(), wanted = new Set(rows);
    for (const line of lines) line.classList.toggle("filtered", !wanted.has(Number(line.dataset.row)));
    count.textContent = rows.length === all.length ? `${all.length} points` : `${rows.length} of ${all.length} points`;
  };
  box.addEventListener("change", update);
  button.addEventListener("click", () => download("points.csv", csvOf(report, kept())));
  onExcluded(update);
  document.getElementById("table-tools").append(count, html("label", {}, [box, "only what keeps the wishes"]), button);
  update();
}
