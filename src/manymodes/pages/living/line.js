// A mixture in one target dimension: what it answers, and the searches. The same as in manymodes/runtime.py.

const MOST_INTEGERS = 5000; // that are looked at one by one

class Line {
  // parts: components as { w: log-weight, c: parameters, family }
  constructor(parts) {
    this.parts = parts.filter((part) => part.w > -745);
    this.atoms = this.parts.filter((part) => part.family.kind === "atom");
    this.spread = this.parts.filter((part) => part.family.kind !== "atom");
    this.kind = this.spread.length ? this.spread[0].family.kind : "atom";
  }

  // --- densities and probabilities ---

  logProb(y) {
    const pointed = this.atoms.filter((part) => part.c.value === y).map((part) => part.w);
    if (pointed.length && this.kind !== "count") return logSumExp(pointed); // a density counts for nothing beside it
    return logSumExp([...pointed, this.spreadLogProb(y)]);
  }

  spreadLogProb(y) { return logSumExp(this.spread.map((part) => part.w + part.family.logProb(part.c, y))); }

  tails(y, parts = this.parts) {
    let below = 0, above = 0;
    for (const part of parts) {
      const [low, high] = part.family.tails(part.c, y), weight = Math.exp(part.w);
      below += weight * low;
      above += weight * high;
    }
    return [below, above];
  }

  // P(low <= Y <= high), atoms on the ends included; of angles also beyond pi, up to a turn.
  probability(low, high) {
    const atoms = this.atoms.filter((part) => part.c.value >= low && part.c.value <= high);
    const closed = this.kind === "count" ? low - 0.5 : low; // an interval of counts holds its lower end
    return atoms.reduce((sum, part) => sum + Math.exp(part.w), 0) + (this.spread.length ? this.mass(closed, high) : 0);
  }

  // The probability between two places that is no atom's.
  mass(low, high) {
    if (this.kind === "angle" && high > Math.PI) {
      const beyond = this.mass(Math.max(low - 2 * Math.PI, -Math.PI), high - 2 * Math.PI);
      return beyond + (low < Math.PI ? this.mass(low, Math.PI) : 0);
    }
    const [below0, above0] = this.tails(low, this.spread), [below1, above1] = this.tails(high, this.spread);
    return above0 < below1 ? above0 - above1 : below1 - below0;
  }

  // [mean, variance]; of angles the mean direction and the circular variance.
  moments() {
    const all = this.parts.map((part) => ({
      weight: Math.exp(part.w), mean: part.family.mean(part.c), variance: part.family.variance(part.c),
    }));
    if (this.kind === "angle") {
      const sum = (wave) => all.reduce((total, p) => total + p.weight * (1 - p.variance) * wave(p.mean), 0);
      return [Math.atan2(sum(Math.sin), sum(Math.cos)), 1 - Math.hypot(sum(Math.sin), sum(Math.cos))];
    }
    const mean = all.reduce((total, p) => total + p.weight * p.mean, 0);
    return [mean, all.reduce((total, p) => total + p.weight * (p.variance + (p.mean - mean) ** 2), 0)];
  }

  ends() {
    return [
      Math.min(...this.parts.map((part) => part.family.low(part.c))),
      Math.max(...this.parts.map((part) => part.family.high(part.c))),
    ];
  }

  // --- quantiles: the smallest y with P(Y <= y) >= level ---

  quantile(level) {
    const [first, last] = this.ends();
    if (level <= 0) return first;
    if (level >= 1) return last;
    const excess = (y) => {
      const [below, above] = this.tails(y).map((tail) => Math.log(Math.max(tail, 1e-320)));
      return level <= 0.5 ? below - Math.log(level) : Math.log1p(-level) - above;
    };
    let [low, high] = this.bracket(excess, first, last);
    for (const part of this.atoms) {
      const place = part.c.value;
      if (excess(place) >= 0 && excess(place - Math.max(Math.abs(place), TINY) * Number.EPSILON) < 0) return place;
    }
    if (this.kind !== "count") return root(excess, low, high);
    low = Math.floor(low) - 1;
    high = Math.ceil(high);
    while (high - low > 1) {
      const middle = Math.floor(0.5 * (low + high));
      if (excess(middle) >= 0) high = middle; else low = middle;
    }
    return high;
  }

  bracket(excess, first, last) {
    const places = this.parts.flatMap((part) => part.family.places(part.c)).filter(Number.isFinite);
    let low = Number.isFinite(first) ? first : Math.min(...places), high = Number.isFinite(last) ? last : Math.max(...places);
    if (this.kind === "count") low = -1;
    let step = Math.max(high - low, TINY);
    while (excess(low) > 0 && low > first) { low -= step; step *= 2; }
    while (excess(high) < 0 && high < last) { high += step; step *= 2; }
    return [low, high];
  }

  // --- modes ---

  // Atoms as { kind, location, logDensity, mass }, the heaviest first.
  pointed() {
    const mass = new Map();
    for (const part of this.atoms) mass.set(part.c.value, (mass.get(part.c.value) || 0) + Math.exp(part.w));
    const found = [...mass].map(([location, m]) => ({ kind: "atom", location, logDensity: Infinity, mass: m }));
    return found.filter((atom) => atom.mass > 0).sort((a, b) => b.mass - a.mass);
  }

  // Modes as { kind, location, logDensity, mass }, the highest first, atoms last.
  modes() {
    if (!this.spread.length) return this.pointed();
    if (this.kind === "count") return this.integerModes();
    const { maxima, minima } = this.extrema(), isAngle = this.kind === "angle";
    const edges = [isAngle ? this.cut() : -Infinity, ...minima, isAngle ? this.cut() + 2 * Math.PI : Infinity];
    const found = maxima.map((place, i) => ({
      kind: "mode",
      location: isAngle ? wrapped(place) : place,
      logDensity: this.spreadLogProb(place),
      mass: this.mass(edges[i], edges[i + 1]),
    }));
    return [...found.sort((a, b) => b.logDensity - a.logDensity), ...this.pointed()];
  }

  // All maxima and the minima between them: a rise followed by a fall, and the other way round.
  extrema() {
    if (this.turns) return this.turns;
    const grid = this.grid(), height = grid.map((y) => this.spreadLogProb(y)), moves = [];
    for (let i = 1; i < grid.length; i++) {
      const step = height[i] - height[i - 1];
      if (Math.abs(step) > 1e-13 * (1 + Math.abs(height[i]))) moves.push([i - 1, Math.sign(step)]);
    }
    const maxima = [], minima = [];
    for (let i = 0; i <= moves.length; i++) { // a rise from nothing comes first, a fall to nothing last
      const before = i ? moves[i - 1][1] : 1, after = i < moves.length ? moves[i][1] : -1;
      if (before === after) continue;
      const first = i ? moves[i - 1][0] + 1 : 0, last = i < moves.length ? moves[i][0] : grid.length - 1;
      (before > 0 ? maxima : minima).push(this.turn(grid, first, last, before));
    }
    this.turns = { maxima, minima };
    return this.turns;
  }

  // The place of a maximum (sign 1) or minimum (-1) near the grid points first to last.
  turn(grid, first, last, sign) {
    const a = grid[Math.max(first - 1, 0)], b = grid[Math.min(last + 1, grid.length - 1)];
    if (sign * this.score(a) > 0 && sign * this.score(b) < 0) return root((y) => this.score(y), a, b);
    const options = [grid[first], 0.5 * (grid[first] + grid[last]), grid[last]];
    return options.reduce((best, y) => (sign * (this.spreadLogProb(y) - this.spreadLogProb(best)) > 0 ? y : best));
  }

  // The derivative of the log-density.
  score(y) {
    const terms = this.spread.map((part) => part.w + part.family.logProb(part.c, y)), top = Math.max(...terms);
    if (top === -Infinity) return 0;
    let slope = 0, total = 0;
    this.spread.forEach((part, k) => {
      const share = Math.exp(terms[k] - top);
      if (share > 0) { slope += share * part.family.score(part.c, y); total += share; }
    });
    return slope / total;
  }

  grid() {
    const heavy = Math.max(...this.spread.map((part) => part.w)) - 60;
    let places = this.spread.filter((part) => part.w > heavy).flatMap((part) => part.family.places(part.c));
    if (this.kind === "angle") {
      const cut = this.cut();
      places.push(...Array.from({ length: 181 }, (_, i) => -Math.PI + i * Math.PI / 90));
      places = places.map((y) => cut + (((y - cut) % (2 * Math.PI)) + 2 * Math.PI) % (2 * Math.PI));
      return unique([cut, ...places, cut + 2 * Math.PI]);
    }
    const [first, last] = this.inside();
    const grid = unique([...places.filter((y) => y > first && y < last), first, last].filter(Number.isFinite));
    const middles = grid.slice(1).map((y, i) => 0.5 * y + 0.5 * grid[i]);
    return unique([...grid, ...middles]);
  }

  // The first and the last number inside the ends of the support; infinite where there is none.
  inside() {
    const [low, high] = this.ends(), step = (end) => Math.max(Math.abs(end) * Number.EPSILON, TINY);
    return [Number.isFinite(low) ? low + step(low) : low, Number.isFinite(high) ? high - step(high) : high];
  }

  // Where a circle is cut open: where the density is lowest.
  cut() {
    if (this.cutAt === undefined) {
      const places = Array.from({ length: 721 }, (_, i) => -Math.PI + i * Math.PI / 360);
      this.cutAt = places.reduce((best, y) => (this.spreadLogProb(y) < this.spreadLogProb(best) ? y : best));
    }
    return this.cutAt;
  }

  // The integers that matter and their log-probabilities; of very many, every so manieth, which stands for those after it.
  integers() {
    if (!this.counted) {
      const first = Math.max(this.quantile(1e-13) - 1, 0), last = this.quantile(1 - 1e-13) + 1;
      const step = Math.max(1, Math.ceil((last - first + 1) / MOST_INTEGERS)), extra = Math.log(step);
      const numbers = Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
      this.counted = { step, all: numbers.map((y) => [y, this.logProb(y + (step >> 1)) + extra]) };
    }
    return this.counted;
  }

  integerModes() {
    const { all, step } = this.integers(), kept = all.filter(([, p], i) => i === 0 || p !== all[i - 1][1]), found = [];
    let mass = 0, next = 0;
    kept.forEach(([y, p], i) => {
      const before = i ? kept[i - 1][1] : -Infinity, after = i + 1 < kept.length ? kept[i + 1][1] : -Infinity;
      if (p < before && p < after) { found[found.length - 1].mass = mass; mass = 0; }
      const end = i + 1 < kept.length ? kept[i + 1][0] : Infinity;
      for (; next < all.length && all[next][0] < end; next++) mass += Math.exp(all[next][1]);
      if (p > before && p > after) found.push({ kind: "mode", location: y + (step >> 1), logDensity: p - Math.log(step), mass: 0 });
    });
    if (found.length) found[found.length - 1].mass = mass;
    return found.sort((a, b) => b.logDensity - a.logDensity);
  }

  // --- highest-density regions ---

  // The smallest set that holds a probability: { kind, low, high, mass } in ascending order, atoms last.
  region(level) {
    const atoms = [];
    let held = 0;
    for (const atom of this.kind === "count" ? [] : this.pointed()) {
      if (held >= level) break;
      atoms.push({ kind: "atom", low: atom.location, high: atom.location, mass: atom.mass });
      held += atom.mass;
    }
    if (held >= level || !this.spread.length) return atoms;
    return this.kind === "count" ? this.integerRegion(level) : [...this.intervals(level - held), ...atoms];
  }

  integerRegion(level) {
    const { all: known, step } = this.integers(), all = known.map(([y, p]) => [y, Math.exp(p)]);
    const taken = new Set(), pieces = [];
    let held = 0;
    for (const [y, p] of [...all].sort((a, b) => b[1] - a[1])) {
      if (held >= level * (1 - 1e-12)) break;
      taken.add(y);
      held += p;
    }
    for (const [y, p] of all.filter(([number]) => taken.has(number))) {
      const last = pieces[pieces.length - 1];
      if (last && last.high === y - 1) { last.high = y + step - 1; last.mass += p; } else {
        pieces.push({ kind: "interval", low: y, high: y + step - 1, mass: p });
      }
    }
    return pieces;
  }

  intervals(asked) {
    const { maxima, minima } = this.extrema();
    const total = this.spread.reduce((sum, part) => sum + Math.exp(part.w), 0), level = Math.min(asked, total * (1 - 1e-12));
    const feet = [this.far(maxima[0], -1, level), ...minima, this.far(maxima[maxima.length - 1], 1, level)];
    const heights = maxima.map((y) => this.spreadLogProb(y)), footHeights = feet.map((y) => this.spreadLogProb(y));
    const above = (logLevel) => this.above(maxima, heights, feet, footHeights, logLevel);
    const excess = (logLevel) => above(logLevel).reduce((sum, [a, b]) => sum + this.mass(a, b), 0) - level;
    const top = Math.max(...heights);
    let low = top - 1, step = 1;
    while (excess(low) < 0 && low > top - 1400) { low -= 2 * step; step *= 2; }
    let pieces = above(root(excess, low, top));
    if (this.kind === "angle") pieces = pieces.flatMap(([a, b]) => unrolled(a, b));
    return pieces.filter(([a, b]) => b > a).sort((p, q) => p[0] - q[0])
      .map(([a, b]) => ({ kind: "interval", low: a, high: b, mass: this.mass(a, b) }));
  }

  // The intervals where the log-density exceeds a level: one around every maximum, joined if need be.
  above(maxima, heights, feet, footHeights, logLevel) {
    const pieces = [], gap = (y) => this.spreadLogProb(y) - logLevel;
    const none = [-Infinity, Infinity], [first, last] = this.kind === "real" ? this.inside() : none, ends = this.ends();
    const fromEnd = (y) => (y <= first ? ends[0] : y), toEnd = (y) => (y >= last ? ends[1] : y); // beside a pole
    maxima.forEach((peak, i) => {
      if (!(heights[i] > logLevel)) return;
      const opens = footHeights[i] < logLevel, closes = footHeights[i + 1] < logLevel;
      const end = toEnd(closes ? root(gap, feet[i + 1], peak) : feet[i + 1]), before = pieces[pieces.length - 1];
      if (!opens && before && i > 0 && heights[i - 1] > logLevel) before[1] = end;
      else pieces.push([fromEnd(opens ? root(gap, feet[i], peak) : feet[i]), end]);
    });
    return pieces;
  }

  // A place beyond which next to nothing lies, or the end of the support.
  far(start, side, level) {
    if (this.kind === "angle") return this.cut() + (side < 0 ? 0 : 2 * Math.PI);
    const end = this.inside()[side < 0 ? 0 : 1], rest = Math.min(1e-3 * (1 - level), 1e-9);
    if (Number.isFinite(end)) return end;
    let place = start, step = Math.max(Math.abs(start), 1e-9);
    while (this.tails(place, this.spread)[side < 0 ? 0 : 1] > rest && Math.abs(place) < LARGE) {
      place += side * step;
      step *= 2;
    }
    return place;
  }
}

function unique(values) {
  const sorted = Float64Array.from(values).sort();
  return Array.from(sorted.filter((y, i) => i === 0 || y !== sorted[i - 1]));
}

// An arc as intervals within [-pi, pi]: two where it crosses the cut at pi.
function unrolled(low, high) {
  const turn = 2 * Math.PI;
  if (low >= Math.PI) return [[low - turn, high - turn]];
  return high <= Math.PI ? [[low, high]] : [[-Math.PI, high - turn], [low, Math.PI]];
}

// --- densities of several dimensions ---

// p(y | x) of one row: groups of { w: log-weights, families: [component of each dimension], blocks: correlated ones }.
class Density {
  constructor(components) {
    this.components = components; // each { w, dims: [{ family, c }], blocks: [{ dims, loc, tril }] }
    this.targetDim = components[0].dims.length;
  }

  line(dim) {
    return new Line(this.components.map(({ w, dims }) => ({ w, c: dims[dim].c, family: dims[dim].family })));
  }

  // log p of two dimensions, (i, j), at two numbers.
  pairLogProb(i, j, y, z) {
    return logSumExp(this.components.map((component) => {
      const block = component.blocks.find((each) => each.dims.includes(i) && each.dims.includes(j));
      if (block) return component.w + correlated(block, i, j, y, z);
      const [first, second] = [component.dims[i], component.dims[j]];
      return component.w + first.family.logProb(first.c, y) + second.family.logProb(second.c, z);
    }));
  }
}

function correlated({ dims, loc, tril }, i, j, y, z) {
  const a = dims.indexOf(i), b = dims.indexOf(j), n = dims.length;
  const covariance = (r, s) => { let sum = 0; for (let k = 0; k < n; k++) sum += tril[r * n + k] * tril[s * n + k]; return sum; };
  const vyy = covariance(a, a), vzz = covariance(b, b), vyz = covariance(a, b), rest = vzz - vyz * vyz / vyy;
  const dy = y - loc[a], dz = z - loc[b] - vyz / vyy * dy;
  return -0.5 * (dy * dy / vyy + dz * dz / rest) - 0.5 * Math.log(vyy * rest) - 2 * HALF_LOG_2PI;
}
