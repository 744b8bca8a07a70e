// The twin of reports/grid.py: what the run's surrogate predicts at any task weights (tests/reports/test_grid_twin.py).
// report.landscape is null, or {divisions, level, values [K][M], lower [K][M], upper [K][M], far [K] (0 or 1), error [M], edge_error [M],
// weights [K][T], place: Map}. Columns are those of report.objectives; null where nothing is predicted or known.

// Every list of `tasks` whole numbers that sum to `divisions`, in lexicographic order.
function gridRows(tasks, divisions) {
  if (tasks === 1) return [[divisions]];
  const rows = [];
  for (let first = 0; first <= divisions; first++) {
    for (const rest of gridRows(tasks - 1, divisions - first)) rows.push([first, ...rest]);
  }
  return rows;
}

function prepareLandscape(landscape, tasks) {
  if (!landscape) return;
  const rows = gridRows(tasks.length, landscape.divisions);
  landscape.place = new Map(rows.map((row, i) => [row.join(","), i]));
  landscape.weights = rows.map((row) => row.map((part) => part / landscape.divisions));
}

// Rows of the grid around `weights`, with their shares.
function kuhnCorners({ divisions, place }, weights) {
  let sum = 0;
  const cumulated = weights.slice(0, -1).map((weight) => Math.min((sum += weight) * divisions, divisions));
  const corner = cumulated.map((value) => Math.floor(value + 1e-9));
  const parts = cumulated.map((value, j) => Math.max(value - corner[j], 0));
  // Of equal parts either may step first: the corner between the two steps has no share.
  const order = parts.map((_, j) => j).sort((a, b) => parts[b] - parts[a]);
  const heights = [1, ...order.map((j) => parts[j]), 0], found = [];
  for (let step = 0; step <= order.length; step++) {
    if (step) corner[order[step - 1]] += 1;
    const share = heights[step] - heights[step + 1];
    if (!(share > 0)) continue;
    const edges = [0, ...corner, divisions];
    found.push([place.get(weights.map((_, t) => edges[t + 1] - edges[t]).join(",")), share]);
  }
  return found;
}

// {values, lower, upper, error: [M], far: whether the scores say little there} at task weights; null without a grid.
function predictAt(weights) {
  const { landscape } = report;
  if (!landscape) return null;
  const corners = kuhnCorners(landscape, weights);
  const mixed = (table) => landscape.error.map((_, j) =>
    corners.reduce((total, [row, share]) => (total === null || table[row][j] === null ? null : total + share * table[row][j]), 0));
  const near = weights.some((weight) => weight > 0 && weight < 1 / landscape.divisions - 1e-9);
  return {
    error: corners.length === 1 ? landscape.error.map(() => 0) : near ? landscape.edge_error : landscape.error,
    values: mixed(landscape.values), lower: mixed(landscape.lower), upper: mixed(landscape.upper),
    far: corners.reduce((total, [row, share]) => total + share * landscape.far[row], 0) >= 0.5,
  };
}
