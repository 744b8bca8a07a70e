// Elements and marks. All text goes in as text nodes, never as HTML.
const SPACE = document.getElementById("namespace").namespaceURI;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of [].concat(children === undefined ? [] : children)) node.append(child);
  return node;
}
const html = (name, attributes, children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, children) => fill(document.createElementNS(SPACE, name), attributes, children);
const short = (text, longest) => (text.length > longest ? text.slice(0, longest - 1).trimEnd() + "…" : text);

const SHAPES = {
  predicted: (x, y, r) => `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  merged: (x, y, r) => `M${x - r * 0.9},${y - r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}Z`,
  trained: (x, y, r) => `M${x},${y - 1.3 * r}L${x + 1.3 * r},${y}L${x},${y + 1.3 * r}L${x - 1.3 * r},${y}Z`,
};

function markPath(origin, x, y, r) {
  const round = (number) => Math.round(number * 100) / 100;
  return SHAPES[origin](round(x), round(y), round(r));
}

function starPath(x, y, r) {
  const corners = [];
  for (let k = 0; k < 10; k++) {
    const length = k % 2 ? r * 0.42 : r, angle = (k * Math.PI) / 5;
    corners.push(`${(x + length * Math.sin(angle)).toFixed(1)},${(y - length * Math.cos(angle)).toFixed(1)}`);
  }
  return `M${corners.join("L")}Z`;
}

function keySymbol(origin) {
  const path = svg("path", { d: markPath(origin, 7, 7, 4.6), class: `fill-${origin}` });
  return svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, path);
}
