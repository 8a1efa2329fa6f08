// Charts as SVG text, coloured by the page's style.

const WIDTH = 600, LEFT = 16, RIGHT = 16;
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }[c]));

// A number as text, with enough digits to tell apart those that differ by a step.
function numberText(value, step) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "unknown";
  if (value === 0 || Math.abs(value) < 1e-9 * step) return "0";
  const digits = Math.min(Math.max(1 + Math.ceil(Math.log10(Math.abs(value) / step)), 1), 15);
  const rounded = Number(value.toPrecision(digits));
  const plain = Math.abs(rounded) >= 1e7 || Math.abs(rounded) < 1e-5 ? rounded.toExponential() : String(rounded);
  return plain.replace("-", "−");
}

const percent = (share) => (share > 0 && share < 0.001 ? "< 0.1 %" : share > 0.999 && share < 1 ? "> 99.9 %"
  : `${(100 * share).toFixed(share < 0.1 || share > 0.9 ? 1 : 0)} %`);

// Round numbers from low to high, about as many as asked for.
function ticks(low, high, about) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).reduce((a, b) => (Math.abs(b - rough) < Math.abs(a - rough) ? b : a));
  const first = Math.ceil(low / step - 1e-9), count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, i) => ({ at: (first + i) * step, step }));
}

class Chart {
  constructor(low, high, top, height, { width = WIDTH, bottom = 58 } = {}) {
    Object.assign(this, { low, high, top, height, width, bottom, layers: [] });
  }

  x(value) { return LEFT + (value - this.low) / (this.high - this.low) * (this.width - LEFT - RIGHT); }

  y(value) { return this.height - this.bottom - value / this.top * (this.height - this.bottom - 26); }

  value(x) { return this.low + (x - LEFT) / (this.width - LEFT - RIGHT) * (this.high - this.low); }

  path(points) { return "M" + points.map(([x, y]) => `${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`).join("L"); }

  curve(points, style) { this.layers.push(`<path class="curve ${style}" d="${this.path(points)}"/>`); }

  area(points, style) {
    if (points.length < 2) return;
    const base = this.y(0).toFixed(1), last = points[points.length - 1][0];
    const back = `L${this.x(last).toFixed(1)} ${base}L${this.x(points[0][0]).toFixed(1)} ${base}Z`;
    this.layers.push(`<path class="${style}" d="${this.path(points)}${back}"/>`);
  }

  box(low, high, from, to, style) {
    const x = this.x(low), width = Math.max(this.x(high) - x, 1.5);
    this.layers.push(`<rect class="${style}" x="${x.toFixed(1)}" y="${this.y(to).toFixed(1)}" width="${width.toFixed(1)}" `
      + `height="${Math.max(this.y(from) - this.y(to), 0).toFixed(1)}"/>`);
  }

  dot(x, y, style) { this.layers.push(`<circle class="${style}" cx="${this.x(x).toFixed(1)}" cy="${this.y(y).toFixed(1)}" r="4.5"/>`); }

  text(x, y, text, style = "", anchor = "middle") {
    const at = Math.min(Math.max(x, 30), this.width - 30);
    this.layers.push(`<text class="${style}" x="${at.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(text)}</text>`);
  }

  axis(label) {
    const base = this.height - this.bottom;
    this.layers.push(`<line class="axis" x1="${LEFT}" x2="${this.width - RIGHT}" y1="${base}" y2="${base}"/>`);
    for (const { at, step } of ticks(this.low, this.high, this.width / 85)) this.text(this.x(at), this.height - 22, numberText(at, step));
    this.text(this.width / 2, this.height - 5, label);
  }

  svg(description) {
    return `<svg viewBox="0 0 ${this.width} ${this.height}" role="img" aria-label="${escaped(description)}">${this.layers.join("")}</svg>`;
  }
}
