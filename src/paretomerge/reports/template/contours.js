// Filled contours of numbers on a triangulation, exact for values that are linear within each triangle.
// A corner is a list of numbers: where it is (x, y), then every quantity that is known there.
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"].map(
  (code) => [0, 2, 4].map((i) => parseInt(code.slice(i, i + 2), 16)),
);

function viridis(t) {
  const place = Math.min(Math.max(t, 0), 1) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2), part = place - i;
  return `rgb(${VIRIDIS[i].map((low, k) => Math.round(low + part * (VIRIDIS[i + 1][k] - low))).join(",")})`;
}

// The part of a polygon where quantity `k` is at least (sign 1) or at most (sign -1) `level`.
function clipped(polygon, k, sign, level) {
  const kept = [];
  polygon.forEach((here, i) => {
    const next = polygon[(i + 1) % polygon.length], a = sign * (here[k] - level), b = sign * (next[k] - level);
    if (a >= 0) kept.push(here);
    if ((a >= 0) !== (b >= 0)) kept.push(here.map((number, n) => number + (a / (a - b)) * (next[n] - number)));
  });
  return kept;
}

const outline = (polygon) => `M${polygon.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L")}Z`;

// Steps of a colour scale at round numbers: [{low, high, colour}] from low to high. The worst tenth of the values is one
// step: a few bad corners shall not take the colours from where one would choose.
function stepsOf(values, lower, count = 8) {
  const sorted = [...values].sort((a, b) => a - b), [low, high] = [sorted[0], sorted[sorted.length - 1]];
  const tenth = Math.floor(sorted.length / 10), inner = lower ? [low, sorted[sorted.length - 1 - tenth]] : [sorted[tenth], high];
  const [from, to] = inner[1] > inner[0] ? inner : [low, high > low ? high : low + (Math.abs(low) || 1)], span = to - from;
  const { ticks, decimals } = ticksOf(from, to, count);
  const edges = [Math.min(low, from), ...ticks.filter((tick) => tick > from + 1e-9 * span && tick < to - 1e-9 * span), Math.max(high, to)];
  const last = Math.max(1, edges.length - 2);
  const steps = edges.slice(1).map((end, i) => ({ low: edges[i], high: end, colour: viridis(lower ? 1 - i / last : i / last) }));
  return { steps, edges, decimals, colour: (value) => (steps.find((step) => value <= step.high) || steps[steps.length - 1]).colour };
}

// One path per colour step, so that a map of 600 triangles stays a dozen elements.
function contourPaths(triangles, k, steps) {
  return steps.map(({ low, high, colour }, i) => {
    const parts = [];
    for (const triangle of triangles) {
      let piece = i ? clipped(triangle, k, 1, low) : triangle;
      if (i < steps.length - 1 && piece.length) piece = clipped(piece, k, -1, high);
      if (piece.length > 2) parts.push(outline(piece));
    }
    // a stroke of the same colour hides the seams between triangles
    return svg("path", { d: parts.join(""), fill: colour, stroke: colour, "stroke-width": 0.7, "stroke-linejoin": "round" });
  });
}

// Lines between the colour steps.
function contourLines(triangles, k, edges) {
  const parts = [];
  for (const level of edges.slice(1, -1)) {
    for (const triangle of triangles) {
      const cut = [];
      triangle.forEach((here, i) => {
        const next = triangle[(i + 1) % 3], a = here[k] - level, b = next[k] - level;
        if (a >= 0 !== b >= 0) cut.push([0, 1].map((n) => here[n] + (a / (a - b)) * (next[n] - here[n])));
      });
      if (cut.length === 2) parts.push(corners(cut));
    }
  }
  return svg("path", { d: parts.join(""), class: "contour" });
}

// Where every limit {k, low, high} holds.
function keptPath(triangles, limits) {
  const parts = [];
  for (const triangle of triangles) {
    let piece = triangle;
    for (const { k, low, high } of limits) {
      if (low !== null && piece.length) piece = clipped(piece, k, 1, low);
      if (high !== null && piece.length) piece = clipped(piece, k, -1, high);
    }
    if (piece.length > 2) parts.push(outline(piece));
  }
  return parts.join("");
}

// The small triangles of a grid over the weights of three tasks, as numbers of its points.
function gridTriangles(weights, divisions) {
  const places = new Map(weights.map((row, i) => [row.map((weight) => Math.round(weight * divisions)).join(), i]));
  const found = [], add = (...three) => { const rows = three.map((place) => places.get(place.join())); if (!rows.includes(undefined)) found.push(rows); };
  for (let i = 0; i < divisions; i++) {
    for (let j = 0; i + j < divisions; j++) {
      const k = divisions - 1 - i - j;
      add([i + 1, j, k], [i, j + 1, k], [i, j, k + 1]);
      if (k > 0) add([i + 1, j + 1, k - 1], [i + 1, j, k], [i, j + 1, k]);
    }
  }
  return found;
}
