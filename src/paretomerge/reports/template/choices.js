// The twin of paretomerge.choices: from a front and a wish to a point (tests/reports/test_choices_twin.py compares).
// A front here: {values [N][M], weights [N][T], lower [M] (whether lower is better), objectives [M], tasks [T] (names)}.
const FLAT = 1e-9, AUGMENTATION = 1e-4;

// Python's %.<digits>g.
function general(value, digits) {
  if (value === 0) return "0";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e"), power = Number(exponent);
  const bare = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (power >= -4 && power < digits) return bare(value.toFixed(digits - 1 - power));
  return `${bare(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

const minimised = (front) => front.values.map((row) => row.map((value, j) => (front.lower[j] ? value : -value)));

// 0 is the best and 1 the worst value of each objective on the front; 0 where all agree.
function scaleOf(front) {
  const values = minimised(front);
  const best = front.lower.map((_, j) => values.reduce((low, row) => Math.min(low, row[j]), Infinity));
  const width = front.lower.map((_, j) => values.reduce((high, row) => Math.max(high, row[j]), -Infinity) - best[j]);
  const scaled = values.map((row) => row.map((value, j) => (width[j] > 0 ? (value - best[j]) / width[j] : 0)));
  return { values, best, width, scaled, total: scaled.map((row) => row.reduce((a, b) => a + b, 0)) };
}

// The smallest criterion; equal ones are told apart by the sum of the normalised objectives, then by their number.
// Numbers that differ by rounding only are equal.
function preferred(criterion, total, among) {
  for (const key of [criterion, total]) {
    const least = among.reduce((low, i) => Math.min(low, key[i]), Infinity);
    among = among.filter((i) => key[i] <= least + 1e-12);
  }
  return among.length ? among[0] : null;
}

const every = (front) => front.values.map((_, i) => i);

// The shortest vector that solves rows · x = 1 in the least-squares sense, by one-sided Jacobi rotations.
function shortestNormal(rows) {
  const n = rows.length, u = rows.map((row) => [...row]);
  const v = rows.map((_, i) => rows.map((__, j) => (i === j ? 1 : 0)));
  const dot = (p, q) => u.reduce((sum, row) => sum + row[p] * row[q], 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const a = dot(p, p), b = dot(q, q), c = dot(p, q);
        if (Math.abs(c) <= 1e-16 * Math.sqrt(a * b) || c === 0) continue;
        turned = true;
        const zeta = (b - a) / (2 * c), t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const cosine = 1 / Math.hypot(1, t), sine = cosine * t;
        for (const matrix of [u, v]) {
          for (const row of matrix) [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
        }
      }
    }
    if (!turned) break;
  }
  const sizes = u[0].map((_, j) => Math.sqrt(dot(j, j))), cut = n * Number.EPSILON * Math.max(...sizes);
  const kept = sizes.map((size, j) => (size > cut ? u.reduce((sum, row) => sum + row[j], 0) / (size * size) : 0));
  return v.map((row) => row.reduce((sum, value, j) => sum + value * kept[j], 0));
}

function distanceBelow(scaled, total) {
  const columns = scaled[0].map((_, j) => j);
  const extremes = columns.map((j) => scaled[preferred(scaled.map((row) => row[j]), total, scaled.map((_, i) => i))]);
  const along = (row, normal) => row.reduce((sum, value, j) => sum + value * normal[j], 0);
  let normal = shortestNormal(extremes);
  const misses = extremes.some((row) => Math.abs(along(row, normal) - 1) > 1e-5 + 1e-8);
  if (misses || normal.some((value) => !(value > FLAT))) normal = columns.map(() => 1);
  const plane = Math.min(...extremes.map((row) => along(row, normal))), size = Math.hypot(...normal);
  return scaled.map((row) => (plane - along(row, normal)) / size);
}

function chooseKnee(front) {
  const { scaled, width, total } = scaleOf(front);
  const varying = scaled.map((row) => row.filter((_, j) => width[j] > 0));
  if (!varying[0].length) return { point: 0, rule: "knee: all points have the same values" };
  const below = distanceBelow(varying, total);
  if (below.some((distance) => distance > FLAT)) {
    const point = preferred(below.map((distance) => -distance), total, every(front));
    return { point, rule: `knee (normalised distance ${general(below[point], 3)} below the plane)` };
  }
  const point = preferred(varying.map((row) => Math.max(...row)), total, every(front));
  return { point, rule: "no knee, the front is flat or concave: nearest to the ideal point" };
}

const boundOf = (front, j, value) => `${front.objectives[j]} ${front.lower[j] ? "<=" : ">="} ${general(value, 6)}`;

// limits: [M] of numbers or null; best: the number of an objective or null.
function chooseThresholds(front, limits, best) {
  const { values, scaled, total, width } = scaleOf(front);
  const wished = limits.map((limit, j) => (limit === null ? null : j)).filter((j) => j !== null);
  const short = values.map((row) => wished.map((j) => row[j] - (front.lower[j] ? limits[j] : -limits[j])));
  const words = `at least as good as ${wished.map((j) => boundOf(front, j, limits[j])).join(", ")}`;
  const feasible = every(front).filter((i) => short[i].every((missing) => !(missing > 0)));
  if (!feasible.length) return { infeasible: whatToRelax(front, limits, wished, short, width, total), words, feasible };
  const free = limits.map((_, j) => j).filter((j) => limits[j] === null);
  const wanted = best !== null ? [best] : free.length ? free : limits.map((_, j) => j);
  const point = preferred(scaled.map((row) => wanted.reduce((sum, j) => sum + row[j], 0)), total, feasible);
  return { point, rule: `${words}; then best on ${wanted.map((j) => front.objectives[j]).join(" + ")}`, feasible };
}

function whatToRelax(front, limits, wished, short, width, total) {
  const missed = short.map((row) => row.reduce((sum, missing, k) => sum + Math.max(missing, 0) / (width[wished[k]] > 0 ? width[wished[k]] : 1), 0));
  const closest = preferred(missed, total, every(front));
  const step = (j, i) => ({ objective: j, wished: limits[j], reached: front.values[i][j], point: i });
  const relax = wished.filter((_, k) => short[closest][k] > 0).map((j) => step(j, closest));
  const alone = [];
  wished.forEach((j, k) => {
    const others = every(front).filter((i) => short[i].every((missing, other) => other === k || missing <= 0));
    if (others.length) alone.push(step(j, preferred(short.map((row) => row[k]), total, others)));
  });
  return { closest, relax, alone };
}

// goals: [M] of numbers or null.
function chooseReference(front, goals) {
  const { values, best, width, total } = scaleOf(front);
  const goal = goals.map((value, j) => (value === null || front.lower[j] ? value : -value));
  const criterion = values.map((row) => {
    let largest = null, sum = 0;
    row.forEach((value, j) => {
      if (!(width[j] > 0)) return;
      const short = (value - (goal[j] === null ? best[j] : goal[j])) / width[j];
      if (goal[j] !== null) largest = largest === null ? short : Math.max(largest, short);
      sum += short;
    });
    return (largest === null ? 0 : largest) + AUGMENTATION * sum;
  });
  const point = preferred(criterion, total, every(front));
  const reached = goal.every((value, j) => value === null || values[point][j] <= value);
  const wish = goals.map((value, j) => (value === null ? null : `${front.objectives[j]}=${general(value, 6)}`));
  const words = wish.filter((text) => text !== null).join(", ");
  return { point, rule: `closest to the aspiration ${words} (${reached ? "" : "not "}reached)` };
}

function chooseWeights(front, weights) {
  const distance = front.weights.map((row) => Math.sqrt(row.reduce((sum, value, t) => sum + (value - weights[t]) ** 2, 0)));
  const point = preferred(distance, scaleOf(front).total, every(front));
  const wish = front.tasks.map((task, t) => `${task}=${general(weights[t], 4)}`).join(", ");
  return { point, rule: `closest to the task weights ${wish} (distance ${general(distance[point], 3)})` };
}
