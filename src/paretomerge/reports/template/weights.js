// Task weights that sum to one, by sliders that move each other.

// Weight `t` set to `value`: the others share what is left in their old proportions (those of `memory` where they have
// none), except the locked ones, which stay. With all others locked nothing can move.
function rescaled(weights, t, value, locked, memory) {
  const sum = (indices, source) => indices.reduce((total, i) => total + source[i], 0);
  const others = weights.map((_, i) => i).filter((i) => i !== t), free = others.filter((i) => !locked[i]);
  const room = Math.max(0, 1 - sum(others.filter((i) => locked[i]), weights));
  const own = free.length ? Math.min(Math.max(value, 0), room) : room, rest = room - own;
  const source = sum(free, weights) > 1e-9 ? weights : memory, total = sum(free, source);
  const share = (i) => (total > 1e-9 ? (rest * source[i]) / total : rest / free.length);
  return weights.map((weight, i) => (i === t ? own : locked[i] ? weight : share(i)));
}

// Four decimals that sum to one, as a command shows them; the largest takes up the rounding.
function fourDecimals(weights) {
  const shares = weights.map((weight) => Math.round(1e4 * weight));
  shares[shares.indexOf(Math.max(...shares))] += 1e4 - shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / 1e4);
}

const LOCKS = { open: "M5,8V5.5a3,3 0 0,1 5.8,-1", shut: "M5,8V5.5a3,3 0 0,1 6,0V8" };

function lockButton(name, locked, toggle) {
  const bow = svg("path", { class: "bow" });
  const button = html("button", { type: "button", class: "lock", "aria-label": `Hold the weight of ${name}` },
    svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, [bow, svg("rect", { x: 3, y: 7.5, width: 10, height: 6.5, rx: 1.2 })]));
  const sync = () => {
    button.setAttribute("aria-pressed", String(locked()));
    button.title = locked() ? "held: click to let it move" : "hold this weight while others move";
    bow.setAttribute("d", locked() ? LOCKS.shut : LOCKS.open);
  };
  button.addEventListener("click", () => { toggle(); sync(); });
  return { button, sync };
}

// One row per task. `place` is {weights, locked, most, onSimplex}; `move(t, value)` sets a weight; `sync()` shows them.
function weightRow(name, t, place, move) {
  const label = `weight of ${name}`, steps = STEPS;
  const slider = html("input", { type: "range", min: 0, max: steps, "aria-label": label });
  const number = html("input", { type: "number", min: 0, step: "any", "aria-label": label, inputmode: "decimal" });
  const lock = lockButton(name, () => place.locked[t], () => { place.locked[t] = !place.locked[t]; });
  lock.button.hidden = !place.onSimplex || place.weights.length < 3;
  const sync = () => {
    const value = place.weights[t];
    slider.value = String(Math.round((steps * value) / place.most));
    slider.setAttribute("aria-valuetext", show(value, 3));
    if (document.activeElement !== number) number.value = value.toFixed(3);
    lock.sync();
  };
  slider.addEventListener("input", () => move(t, (Number(slider.value) / steps) * place.most));
  number.addEventListener("input", () => { if (number.value !== "" && Number.isFinite(Number(number.value))) move(t, Math.max(0, Number(number.value))); });
  number.addEventListener("blur", sync);
  const node = html("div", { class: "dial" }, [html("span", { class: "name", title: name }, short(name, 40)), slider, number, lock.button]);
  return { node, sync };
}
