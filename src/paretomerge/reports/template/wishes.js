// Wishes for the objectives: limits that every point has to keep, and what is left when all are kept.
const STEPS = 200;

// Settings are finer than answers, which show no more than their intervals support.
const decimalsOf = (front, j) => decimalsFor(front.values.map((row) => row[j]), []) + 1;
const signOf = (front, j) => (front.lower[j] ? "≤" : "≥");
const keeps = (front, j, value, limit) => limit === null || (value !== null && (front.lower[j] ? value <= limit : value >= limit));

// Points that keep all limits, and how many each limit keeps out by itself.
function standing(front, limits) {
  const kept = front.values.map((_, i) => i).filter((i) => limits.every((limit, j) => keeps(front, j, front.values[i][j], limit)));
  const excluded = limits.map((limit, j) => front.values.filter((row) => !keeps(front, j, row[j], limit)).length);
  return { kept, excluded };
}

// The share of all weightings whose predictions keep all limits; null where nothing is predicted.
function shareOfMap(landscape, front, limits) {
  if (!landscape) return null;
  const wished = limits.map((limit, j) => (limit === null ? null : j)).filter((j) => j !== null);
  if (wished.some((j) => landscape.values[0][front.columns[j]] === null)) return null;
  const kept = landscape.values.filter((row) => wished.every((j) => keeps(front, j, row[front.columns[j]], limits[j])));
  return kept.length / landscape.values.length;
}

const wishText = (front, j, limit) => `${short(front.labels[j], 40)} ${signOf(front, j)} ${withUnit(front, j, general(limit, 4))}`;

// A slider from the worst value of the front to the best, beside the number itself; empty for no wish.
function wishRow(front, limits, j, changed) {
  const column = front.values.map((row) => row[j]), low = Math.min(...column), high = Math.max(...column);
  const [worst, best] = front.lower[j] ? [high, low] : [low, high], decimals = Math.min(100, decimalsOf(front, j));
  const at = (value) => (value === null || best === worst ? 0 : Math.round((STEPS * (value - worst)) / (best - worst)));
  const name = front.labels[j], words = front.lower[j] ? "at most" : "at least";
  const slider = html("input", { type: "range", min: 0, max: STEPS, "aria-label": `${name} ${words}, from its worst to its best value on the front` });
  const number = html("input", { type: "number", step: "any", "aria-label": `${name} ${words}`, placeholder: "no wish", inputmode: "decimal" });
  const sync = () => {
    if (document.activeElement !== number) number.value = limits[j] === null ? "" : String(limits[j]);
    slider.value = String(at(limits[j]));
    slider.setAttribute("aria-valuetext", limits[j] === null ? "no wish" : `${words} ${withUnit(front, j, String(limits[j]))}`);
    node.classList.toggle("unset", limits[j] === null);
  };
  slider.addEventListener("input", () => {
    const value = worst + (Number(slider.value) / STEPS) * (best - worst);
    limits[j] = slider.value === "0" ? null : Number(value.toFixed(decimals));
    number.value = limits[j] === null ? "" : String(limits[j]);
    changed();
  });
  number.addEventListener("input", () => {
    limits[j] = number.value === "" || !Number.isFinite(Number(number.value)) ? null : Number(number.value);
    changed();
  });
  number.addEventListener("blur", sync);
  const range = `${show(worst, decimals - 1)} to ${withUnit(front, j, show(best, decimals - 1))}`;
  const node = html("div", { class: "dial wish" }, [
    html("span", { class: "name", title: name }, [short(name, 40), html("small", {}, range)]), slider, html("span", { class: "sign", "aria-hidden": "true" }, signOf(front, j)), number,
  ]);
  return { node, sync };
}

// What is left: a sentence on the count, and one on the wish that costs most.
function countOf(front, limits, landscape) {
  const wished = limits.map((limit, j) => j).filter((j) => limits[j] !== null), all = front.values.length;
  if (!wished.length) return [`No wish is set: all ${all} points of the front are left.`];
  const { kept, excluded } = standing(front, limits), share = shareOfMap(landscape, front, limits);
  const found = [`${kept.length} of ${all} points of the front keep ${wished.length === 1 ? "the wish" : "all wishes"}.`];
  if (share !== null) found.push(`So do the predictions of ${share > 0 && share < 0.01 ? "less than 1" : Math.round(100 * share)} % of all weightings.`);
  const most = wished.reduce((worst, j) => (excluded[j] > excluded[worst] ? j : worst), wished[0]);
  if (wished.length > 1 && excluded[most]) found.push(`${wishText(front, most, limits[most])} excludes most: ${excluded[most]} points.`);
  return found;
}
