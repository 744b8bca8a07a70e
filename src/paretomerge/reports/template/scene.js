// What the charts share: which points are lit, picked or out of the running, and where the explorer's probe stands.
// Every chart registers itself; each may answer to light(row), exclude(excluded) and probe(place).
const ORDER = ["predicted", "merged", "trained"];
// From the least to the most certain; the chosen one is last.
const rankOf = (report, row) => (row === report.chosen ? 3 : ORDER.indexOf(report.points.origin[row]));
const scene = { charts: [], watchers: [], lit: null, picked: null, place: null, limits: new Map(), excluded: new Set() };

// Points are drawn in several charts and one table: lighting one lights it everywhere.
const drawn = new Map();

function remember(row, node) {
  if (!drawn.has(row)) drawn.set(row, []);
  drawn.get(row).push(node);
}

function tell(verb, ...words) {
  for (const chart of scene.charts) if (chart[verb]) chart[verb](...words);
}

// Charts go with every redraw; rows of tables stay.
function forgetCharts() {
  scene.charts = [];
  for (const [row, nodes] of drawn) drawn.set(row, nodes.filter((node) => node.tagName === "TR"));
}

function light(row) {
  if (row === scene.lit) return;
  for (const node of drawn.get(scene.lit) || []) node.classList.remove("lit");
  for (const node of drawn.get(row) || []) node.classList.add("lit");
  scene.lit = row;
  tell("light", row);
}

// An axis shows an objective (key "o3") or a task weight ("w1").
function axisOf(report, key) {
  const index = Number(key.slice(1)), { points, objectives, tasks } = report;
  if (key[0] === "w") {
    const name = `weight of ${short(tasks[index], 36)}`;
    return { key, name, label: name, unit: "", arrow: "", lower: false, column: null, decimals: report.weightDecimals, value: (row) => points.weights[row][index], ends: () => null };
  }
  const objective = objectives[index], lower = objective.direction === "minimise";
  return {
    ...objective, key, lower, arrow: lower ? "← lower is better" : "higher is better →", column: index, decimals: report.decimals[index],
    value: (row) => points.values[row][index], ends: (row) => endsOf(report, row, index),
  };
}

// Objectives of one metric are told apart by their tasks.
function shortNames(report, columns) {
  const some = columns.map((j) => report.objectives[j]), tasks = some.map(({ task }) => task);
  const alike = new Set(some.map(({ metric }) => metric)).size === 1 && new Set(tasks).size === tasks.length && tasks.every((task) => task);
  return some.map(({ name, task }) => (alike ? task : name));
}

// The ends of a value's interval: what the front's uncertainty knows of it, else ± so many standard errors.
function endsOf(report, row, j) {
  const known = report.spread && report.spread.at.get(row), place = known ? report.spread.columns.indexOf(j) : -1;
  if (place >= 0) return [report.spread.lower[known.at][place], report.spread.upper[known.at][place]];
  const value = report.points.values[row][j], half = report.interval * report.points.stderr[row][j];
  return value === null || !half ? null : [value - half, value + half];
}

// Limits {axis, low, high} of one source, such as the brush or the wishes; rows that break any are out everywhere.
function setLimits(source, limits) {
  scene.limits.set(source, limits);
  exclude();
}

const allLimits = () => [...scene.limits.values()].flat();

function exclude() {
  const { report } = scene, limits = allLimits().map((limit) => ({ ...limit, value: axisOf(report, limit.axis).value }));
  const broken = (value, { low, high }) => value === null || (low !== null && value < low) || (high !== null && value > high);
  const excluded = new Set();
  report.points.origin.forEach((_, row) => { if (limits.some((limit) => broken(limit.value(row), limit))) excluded.add(row); });
  scene.excluded = excluded;
  showExcluded();
  for (const watcher of scene.watchers) watcher(excluded);
}

function showExcluded() {
  for (const [row, nodes] of drawn) for (const node of nodes) node.classList.toggle("out", scene.excluded.has(row));
  tell("exclude", scene.excluded);
}

function onExcluded(watcher) {
  scene.watchers.push(watcher);
}

// The point that the explorer has found.
function markPicked(row) {
  for (const node of drawn.get(scene.picked) || []) node.classList.remove("picked");
  scene.picked = row;
  showPicked();
}

function showPicked() {
  for (const node of drawn.get(scene.picked) || []) node.classList.add("picked");
  tell("pick", scene.picked);
}

// Where the explorer's sliders stand: {weights, values, lower, upper}, or null.
function showProbe(place) {
  scene.place = place;
  tell("probe", place);
}

// What was drawn anew has to be told everything once.
function bringUpToDate() {
  showPicked();
  showExcluded();
  tell("probe", scene.place);
}
