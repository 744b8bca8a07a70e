// The twin of digits.py: decimalsFor and show must agree with it (tests/reports/test_browser.py compares them).
function decimalsFor(values, halfWidths) {
  const known = values.filter(Number.isFinite);
  const widths = halfWidths.filter((width) => Number.isFinite(width) && width > 0).sort((a, b) => a - b);
  if (widths.length) {
    const middle = widths.length >> 1;
    const median = widths.length % 2 ? widths[middle] : (widths[middle - 1] + widths[middle]) / 2;
    return Math.max(0, 1 - Math.floor(Math.log10(median)));
  }
  if (!known.length) return 0;
  let low = Infinity, high = -Infinity;
  for (const value of known) { low = Math.min(low, value); high = Math.max(high, value); }
  const size = Math.max(Math.abs(low), Math.abs(high));
  const scale = high - low > 1e-9 * size ? high - low : size;
  return scale > 0 ? Math.max(0, 2 - Math.floor(Math.log10(scale))) : 0;
}

function show(value, decimals) {
  if (value === null || !Number.isFinite(value)) return "-";
  if (decimals > 8 || Math.abs(value) >= 1e9) {
    return value.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
  }
  const [whole, rest] = Math.abs(value).toFixed(decimals).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? "." + rest : "");
  return value < 0 && /[1-9]/.test(text) ? "-" + text : text;
}

function showInterval(value, half, decimals) {
  const text = show(value, decimals);
  return half ? `${text} ± ${show(half, decimals)}` : text;
}

// Round tick values that cover [low, high], about `count` of them, and the decimals they need.
function ticksOf(low, high, count) {
  const rough = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const far = (factor) => Math.abs(Math.log(rough / (factor * power)));
  const step = power * [1, 2, 5, 10].reduce((best, factor) => (far(factor) < far(best) ? factor : best));
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push(k * step);
  return { ticks, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}
