// What the explorer says: of a point of the front, of any weighting, or that no point keeps the wishes.
const withUnit = (front, j, text) => (front.units[j] ? `${text} ${front.units[j]}` : text);

// Objectives of one unit have as many decimals.
function shownDecimals(front, j) {
  const own = (k) => decimalsFor(front.values.map((row) => row[k]),
    front.intervals.map((ends) => (ends[k].includes(null) ? 0 : (ends[k][1] - ends[k][0]) / 2)));
  return Math.min(8, Math.max(...front.units.map((unit, k) => (unit === front.units[j] ? own(k) : 0))));
}

const textOfWeights = (front, weights) => front.tasks.map((task, t) => `${short(task, 30)} ${show(weights[t], 3)}`).join(", ");

function differences(front, from, to) {
  const worse = (j) => (to[j] - from[j]) * (front.lower[j] ? 1 : -1);
  return front.labels.map((label, j) => {
    const change = worse(j);
    if (change === 0) return null;
    const size = withUnit(front, j, show(Math.abs(change), shownDecimals(front, j)));
    return html("li", { class: change < 0 ? "gain" : "loss" }, `${change < 0 ? "gains" : "loses"} ${size} on ${short(label, 40)}`);
  }).filter((part) => part);
}

// The interval on the range of the front, better to the right, with the wish as a tick.
function rangeBar(front, j, value, [low, high], limit) {
  const width = 124, column = front.values.map((row) => row[j]), ends = [low, high].filter((end) => end !== null);
  const least = Math.min(...column, value, ...ends), most = Math.max(...column, value, ...ends), span = most - least || 1;
  const X = (v) => 6 + (width - 12) * (front.lower[j] ? (most - v) / span : (v - least) / span);
  const at = (v) => X(Math.min(Math.max(v, least), most)).toFixed(1);
  const bar = svg("svg", { viewBox: `0 0 ${width} 18`, width, height: 18, class: "range", "aria-hidden": "true" }, svg("path", { d: `M6,9H${width - 6}`, class: "track" }));
  bar.append(svg("path", { d: `M${at(Math.min(...column))},9H${at(Math.max(...column))}`, class: "spread" }));
  if (ends.length === 2) bar.append(svg("path", { d: `M${at(low)},9H${at(high)}`, class: "interval" }));
  if (limit !== null) bar.append(svg("path", { d: `M${at(limit)},1V17`, class: "limit" }));
  bar.append(svg("circle", { cx: at(value), cy: 9, r: 4, class: "value" }));
  return bar;
}

// Whether a wish is kept by the value, and by the whole interval.
function verdict(front, j, value, [low, high], limit) {
  if (limit === null) return html("td", { class: "verdict" }, "");
  const kept = keeps(front, j, value, limit), other = front.lower[j] === kept ? high : low;
  const sure = other !== null && keeps(front, j, other, limit) === kept;
  const words = `${kept ? "kept" : "missed"}${sure ? "" : ", not surely"}`;
  return html("td", { class: `verdict ${kept ? "kept" : "missed"}`, title: `wished: ${wishText(front, j, limit)}` }, `${kept ? "✓" : "✗"} ${words}`);
}

function valueTable(front, values, intervals, level, limits) {
  const head = (text, numeric) => html("th", { scope: "col", class: numeric ? "number" : null }, text);
  const cell = (text) => html("td", { class: "number" }, text);
  const wished = limits.some((limit) => limit !== null);
  const rows = front.labels.map((label, j) => {
    const column = front.values.map((row) => row[j]), decimals = shownDecimals(front, j);
    const best = front.lower[j] ? Math.min(...column) : Math.max(...column), [low, high] = intervals[j];
    const away = (values[j] - best) * (front.lower[j] ? 1 : -1);
    return html("tr", {}, [
      html("th", { scope: "row", title: label }, [short(label, 40), front.units[j] ? html("small", {}, ` ${front.units[j]}`) : ""]),
      cell(show(values[j], decimals)), cell(low === null ? "-" : `${show(low, decimals)} to ${show(high, decimals)}`),
      html("td", { class: "bar" }, rangeBar(front, j, values[j], intervals[j], limits[j])),
      cell(show(best, decimals)), cell(show(away, decimals)), ...(wished ? [verdict(front, j, values[j], intervals[j], limits[j])] : []),
    ]);
  });
  const heads = [head("objective"), head("value", true), head(`${general(100 * level, 3)} % interval`, true), head("better →"), head("best on the front", true), head("gives up", true)];
  if (wished) heads.push(head("wish"));
  return html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "values and intervals" }, html("table", {}, [html("thead", {}, html("tr", {}, heads)), html("tbody", {}, rows)]));
}

function action(label, run) {
  const button = html("button", { type: "button", class: "action" }, label);
  button.addEventListener("click", run);
  return button;
}

function pointAnswer(front, { point, rule }, limits, go) {
  const share = front.nondominated ? 100 * front.nondominated[point] : null;
  const sure = share === null ? "" : ` With ${share > 99 ? "more than 99" : general(share, 3)} % probability no other point of this front beats it on everything.`;
  const parts = [
    html("h3", {}, `Point ${point}`), html("p", { class: "rule" }, rule),
    valueTable(front, front.values[point], front.intervals[point], front.level, limits),
    html("p", {}, `${front.on_simplex ? "Weights" : "Coefficients"}: ${textOfWeights(front, front.weights[point])} (${front.origins[point]}).${sure}`),
  ];
  if (front.alternatives[point].length) {
    parts.push(html("h4", {}, "Nearest alternatives"));
    parts.push(html("ul", { class: "alternatives" }, front.alternatives[point].map((other) => html("li", {}, [
      `Point ${other} (${textOfWeights(front, front.weights[other])}) `, action("Go there", () => go(front.weights[other])),
      html("ul", {}, differences(front, front.values[point], front.values[other])),
    ]))));
  }
  return parts;
}

// A point of the front that is at least as good on everything and better on something, by more than `unsure [M]`; the
// nearest by weights.
function dominating(front, values, weights, unsure) {
  const worse = (row, j) => (row[j] - values[j]) * (front.lower[j] ? 1 : -1);
  const found = front.values.map((_, i) => i).filter((i) => {
    const gaps = values.map((_, j) => worse(front.values[i], j));
    return gaps.every((gap) => gap <= 0) && gaps.some((gap, j) => gap < -unsure[j]);
  });
  return nearestOf(front, found, weights);
}

const nearestOf = (front, among, weights) =>
  (among.length ? among.reduce((near, i) => (weightDistance(front, i, weights) < weightDistance(front, near, weights) ? i : near), among[0]) : null);

const weightDistance = (front, i, weights) => Math.hypot(...front.weights[i].map((weight, t) => weight - weights[t]));

function errorText(front, error) {
  const known = front.columns.map((column, j) => [front.labels[j], error[column], front.units[j], shownDecimals(front, j)]).filter(([, size]) => size !== null);
  if (known.every(([, size]) => size === 0)) return "Computed exactly here.";
  const text = (size, decimals) => (size < 0.5 * 10 ** -decimals ? `less than ${show(10 ** -decimals, decimals)}` : show(size, decimals));
  if (new Set(known.map(([, , unit]) => unit)).size === 1) {
    const [, size, unit, decimals] = known.reduce((worst, each) => (each[1] > worst[1] ? each : worst));
    return `Interpolated, to within ± ${text(size, decimals)}${unit ? ` ${unit}` : ""}.`.replace("± less", "less");
  }
  return `Interpolated, to within ${known.map(([label, size, unit, decimals]) => `± ${text(size, decimals)}${unit ? ` ${unit}` : ""} on ${short(label, 30)}`.replace("± less", "less")).join(", ")}.`;
}

function placeAnswer(front, weights, predicted, level, limits, go) {
  const values = front.columns.map((column) => predicted.values[column]);
  const intervals = front.columns.map((column) => [predicted.lower[column], predicted.upper[column]]);
  const unsure = front.columns.map((column, j) => Math.max(predicted.error[column] || 0, 0.5 * 10 ** -shownDecimals(front, j)));
  const better = dominating(front, values, weights, unsure), near = nearestOf(front, front.values.map((_, i) => i), weights);
  const parts = [
    html("h3", {}, "Your weighting"), html("p", { class: "rule" }, `${textOfWeights(front, weights)} (predicted, not measured)`),
    valueTable(front, values, intervals, level, limits), html("p", {}, errorText(front, predicted.error)),
  ];
  if (predicted.far) parts.push(html("p", { class: "caution" }, "No score lies near this weighting: measure it before relying on it."));
  if (better !== null) {
    parts.push(html("p", {}, [`Off the front: point ${better} (${textOfWeights(front, front.weights[better])}) is predicted to be better. `, action("Go there", () => go(front.weights[better]))]),
      html("ul", { class: "alternatives" }, html("li", { class: "bare" }, html("ul", {}, differences(front, values, front.values[better])))));
  } else parts.push(html("p", {}, [`Nearest on the front: point ${near} (${textOfWeights(front, front.weights[near])}). `, action("Go there", () => go(front.weights[near]))]));
  return parts;
}

function refusal(front, { infeasible, words }, relaxed) {
  const said = (step) => `${short(front.labels[step.objective], 40)} from ${general(step.wished, 6)} to ${withUnit(front, step.objective, general(step.reached, 6))}`;
  const alone = infeasible.alone.filter((step) => !(infeasible.relax.length === 1 && infeasible.relax[0].objective === step.objective && step.point === infeasible.closest));
  return [
    html("h3", {}, "No point keeps all wishes"),
    html("p", { class: "rule" }, `None of the ${front.values.length} points is ${words}.`),
    html("p", {}, [`Point ${infeasible.closest} comes closest: relax ${infeasible.relax.map(said).join(" and ")}. `, action("Relax so", () => relaxed(infeasible.relax))]),
    ...alone.map((step) => html("p", {}, [`Or relax only ${said(step)} (point ${step.point}). `, action("Relax so", () => relaxed([step]))])),
  ];
}
