// What the page shows of a density: a curve with its modes, regions and quantiles; words and a table; maps.

const QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95];
const MOST_COMPONENTS = 40, MOST_BARS = 400, MOST_LABELS = 5;

// Everything that the panels ask of one density, worked out once.
function answers(line, level) {
  return {
    line,
    modes: line.modes(),
    region: line.region(level),
    quantiles: QUANTILES.map((q) => [q, line.quantile(q)]),
    mean: line.moments()[0],
  };
}

// The ends of the axis: those of the data, or further where the density is.
function axisOf(known, shown) {
  let [low, high] = known;
  for (const { line } of shown) {
    if (line.kind === "angle") return [-Math.PI, Math.PI];
    low = Math.min(low, line.quantile(0.002));
    high = Math.max(high, line.quantile(0.998));
  }
  const room = 0.02 * (high - low) || 0.5;
  return [low - room, high + room];
}

function curvePoints(line, low, high) {
  if (line.kind === "count") {
    const first = Math.max(Math.ceil(low), 0), step = Math.max(1, Math.floor((high - first) / MOST_BARS));
    const places = Array.from({ length: Math.floor((high - first) / step) + 1 }, (_, i) => first + i * step);
    return places.map((y) => [y, Math.exp(line.spreadLogProb(y))]);
  }
  const places = Array.from({ length: 301 }, (_, i) => low + (high - low) * i / 300);
  if (line.spread.length && line.kind === "real") places.push(...line.extrema().maxima, ...line.extrema().minima);
  return unique(places.filter((y) => y >= low && y <= high)).map((y) => [y, Math.exp(line.spreadLogProb(y))]);
}

// Bounds the height of a chart: a pole at an end of the support would hide everything else.
function topOf(curves) {
  const heights = curves.flatMap((points) => points.map(([, p]) => p)).sort((a, b) => a - b);
  const highest = heights[heights.length - 1] || 1, usual = heights[Math.floor(0.97 * heights.length)] || highest;
  return highest > 60 * usual ? 6 * usual : highest || 1;
}

function densityChart(name, [current, kept], known, options) {
  const shown = [current, kept].filter(Boolean), [low, high] = axisOf(known, shown);
  const curves = shown.map(({ line }) => (line.spread.length ? curvePoints(line, low, high) : []));
  const top = topOf(curves) * 1.04, chart = new Chart(low, high, top, 330);
  const clipped = (points) => points.map(([y, p]) => [y, Math.min(p, top)]);
  for (const piece of current.region) {
    if (piece.kind !== "interval") continue;
    const inside = curves[0].filter(([y]) => y >= piece.low && y <= piece.high);
    if (current.line.kind === "count") inside.forEach(([y, p]) => chart.box(y - 0.45, y + 0.45, 0, Math.min(p, top), "region"));
    else chart.area(clipped([endOf(current.line, piece.low), ...inside, endOf(current.line, piece.high)]), "region");
  }
  if (options.components) componentCurves(chart, current.line, low, high, top);
  shown.forEach(({ line }, i) => {
    const style = i ? "orange" : "blue";
    if (line.kind === "count") {
      curves[i].forEach(([y, p]) => chart.box(y - 0.45, y + 0.45, 0, Math.min(p, top), i ? "bar second" : "outline"));
    } else if (line.spread.length) chart.curve(clipped(curves[i]), style);
    line.pointed().forEach((atom) => chart.box(atom.location, atom.location, 0, atom.mass * top, `atom ${style}`));
  });
  if (options.range) {
    const [from, to] = options.range.map((y) => Math.min(Math.max(y, low), high));
    chart.box(from, to, 0, top, "chosen");
  }
  chart.axis(name);
  markQuantiles(chart, current.quantiles);
  markModes(chart, current, top);
  return { chart, svg: chart.svg(described(name, current)) };
}

const endOf = (line, y) => [y, Math.exp(line.spreadLogProb(y))];

function componentCurves(chart, line, low, high, top) {
  const heaviest = [...line.spread].sort((a, b) => b.w - a.w).slice(0, MOST_COMPONENTS);
  for (const part of heaviest) {
    if (Math.exp(part.w) < 0.002) continue;
    const own = new Line([part]);
    chart.curve(curvePoints(own, low, high).map(([y, p]) => [y, Math.min(p, top)]), "component");
  }
}

function markQuantiles(chart, quantiles) {
  const base = chart.height - chart.bottom + 10, at = quantiles.map(([, y]) => chart.x(Math.min(Math.max(y, chart.low), chart.high)));
  chart.layers.push(`<line class="whisker" x1="${at[0]}" x2="${at[4]}" y1="${base}" y2="${base}"/>`
    + `<rect class="quartiles" x="${at[1]}" y="${base - 4}" width="${Math.max(at[3] - at[1], 1)}" height="8"/>`
    + `<line class="median" x1="${at[2]}" x2="${at[2]}" y1="${base - 6}" y2="${base + 6}"/>`);
}

function markModes(chart, { modes }, top) {
  const step = (chart.high - chart.low) / 300;
  let labels = 0;
  for (const mode of modes) {
    if (mode.mass < 0.01 || mode.location < chart.low || mode.location > chart.high) continue;
    const height = mode.kind === "atom" ? mode.mass * top : Math.min(Math.exp(mode.logDensity), top);
    chart.dot(mode.location, height, "mode");
    if (mode.mass < 0.03 || labels++ >= MOST_LABELS) continue;
    const text = `${numberText(mode.location, step)} (${percent(mode.mass)})`;
    chart.text(chart.x(mode.location), chart.y(height) - 9, text, "mode-label");
  }
}

// --- words and tables ---

const likeliest = (modes, least) => modes.filter((mode) => mode.mass >= least).sort((a, b) => b.mass - a.mass);

function described(name, { line, modes, region, mean, quantiles }) {
  const spread = Math.abs(quantiles[4][1] - quantiles[0][1]) || 1, step = spread / 200;
  const count = likeliest(modes, 0.05), one = (y) => numberText(y, step);
  const places = count.map((mode) => `${one(mode.location)} (${percent(mode.mass)})`).join(", ");
  const pieces = region.map((piece) => (piece.kind === "atom" ? one(piece.low) : `${one(piece.low)} to ${one(piece.high)}`));
  const centre = line.kind === "angle" ? "mean direction" : "mean";
  return `${name}: ${count.length} ${count.length === 1 ? "mode" : "modes"} of at least 5 %, at ${places}; `
    + `${centre} ${one(mean)}, median ${one(quantiles[2][1])}; region: ${pieces.join(" and ")}.`;
}

function tableOf(name, shown, level) {
  const step = (Math.abs(shown[0].quantiles[4][1] - shown[0].quantiles[0][1]) || 1) / 200, one = (y) => numberText(y, step);
  const labels = shown.length > 1 ? ["this", "kept"] : ["value"], lines = [];
  const add = (title, cell) => lines.push([title, ...shown.map(cell)]);
  add("mean", (a) => one(a.mean));
  QUANTILES.forEach((q, i) => add(q === 0.5 ? "median" : `${100 * q} % quantile`, (a) => one(a.quantiles[i][1])));
  add(`region of ${Math.round(100 * level)} %`, (a) => a.region.map((p) => (p.kind === "atom" || p.low === p.high
    ? `${one(p.low)} (${percent(p.mass)})` : `${one(p.low)} to ${one(p.high)} (${percent(p.mass)})`)).join("; "));
  const most = Math.max(...shown.map((a) => likeliest(a.modes, 0.01).length));
  for (let i = 0; i < Math.min(most, 6); i++) {
    add(`mode ${i + 1}`, (a) => {
      const mode = likeliest(a.modes, 0.01)[i];
      return mode ? `${one(mode.location)} (${percent(mode.mass)}${mode.kind === "atom" ? ", exactly" : ""})` : "";
    });
  }
  const head = [escaped(name), ...labels].map((cell) => `<th scope="col">${cell}</th>`).join("");
  const body = lines.map(([title, ...cells]) => `<tr><th scope="row">${title}</th>${cells.map((c) => `<td>${escaped(c)}</td>`).join("")}</tr>`);
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table>`;
}

// --- maps ---

// A picture of numbers between 0 and 1, rows from the top, through the page's colours.
function paint(canvas, width, height, share) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const style = getComputedStyle(document.documentElement), [paper, ink] = ["--paper", "--blue"].map((n) => rgb(style.getPropertyValue(n)));
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = 4 * (row * width + column), weight = Math.min(Math.max(share(column, row), 0), 1);
      for (let c = 0; c < 3; c++) image.data[at + c] = paper[c] + (ink[c] - paper[c]) * weight;
      image.data[at + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

function rgb(colour) {
  const hex = colour.trim().replace("#", "");
  return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

// Densities of several lines as columns, each relative to its own highest: what may happen along a feature.
function heatColumns(lines, low, high, height) {
  return lines.map((line) => {
    const column = Float64Array.from({ length: height }, (_, row) => {
      const y = high - (row + 0.5) / height * (high - low);
      return Math.exp(line.kind === "count" ? line.spreadLogProb(Math.round(y)) : line.spreadLogProb(y));
    });
    for (const atom of line.pointed()) {
      const row = Math.floor((high - atom.location) / (high - low) * height);
      if (row >= 0 && row < height) column[row] = Math.max(...column) * Math.min(1, 2 * atom.mass) || atom.mass;
    }
    const top = topOf([Array.from(column, (p) => [0, p])]) || 1;
    return column.map((p) => Math.sqrt(p / top));
  });
}

// The level of a grid of densities above which a share of the probability lies.
function gridLevel(values, share) {
  const sorted = Float64Array.from(values).sort().reverse(), total = sorted.reduce((sum, p) => sum + p, 0);
  let held = 0;
  for (const p of sorted) { held += p; if (held >= share * total) return p; }
  return 0;
}

// Lines of equal density as SVG path data, by marching squares on a grid of values (rows from the top).
function contourPath(values, width, height, level) {
  const at = (c, r) => values[r * width + c], parts = [];
  const between = (a, b) => (level - a) / (b - a);
  for (let r = 0; r + 1 < height; r++) {
    for (let c = 0; c + 1 < width; c++) {
      const [a, b, d, e] = [at(c, r), at(c + 1, r), at(c + 1, r + 1), at(c, r + 1)], cuts = [];
      if (a > level !== b > level) cuts.push([c + between(a, b), r]);
      if (b > level !== d > level) cuts.push([c + 1, r + between(b, d)]);
      if (e > level !== d > level) cuts.push([c + between(e, d), r + 1]);
      if (a > level !== e > level) cuts.push([c, r + between(a, e)]);
      for (let i = 0; i + 1 < cuts.length; i += 2) {
        parts.push(`M${cuts[i].map((v) => v.toFixed(2)).join(" ")}L${cuts[i + 1].map((v) => v.toFixed(2)).join(" ")}`);
      }
    }
  }
  return parts.join("");
}
