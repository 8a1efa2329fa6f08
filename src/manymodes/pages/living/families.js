// Families of components in one target dimension. A component is a plain object of its parameters; a family is a set of
// functions of it. The same as in manymodes/runtime.py.

const OFFSETS = [0, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5.5, 8];
const STEPS = [...OFFSETS.slice(1).map((x) => -x).reverse(), ...OFFSETS]; // places in widths that searches look at
const BEYOND = [12, 18, 27, 40, 60, 90, 140, 220, 400]; // widths, where tails are heavy
const TO_THE_END = [1, 2, 3, 5, 8, 13, 20, 40, 80, 160, 290].map((k) => 10 ** -k); // shares of the way, beside an end
const RULE = gaussLegendre(64), SHORT_RULE = gaussLegendre(12);

const wrapped = (angle) => angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));
const standardised = (c, y) => Math.min(Math.max((y - c.loc) / c.scale, -1e150), 1e150);
const onTheLine = {
  kind: "real",
  low: () => -Infinity,
  high: () => Infinity,
  mean: (c) => c.loc,
  places: (c) => STEPS.map((step) => c.loc + c.scale * step),
  rescale: (c, shift, scale) => ({ ...c, loc: shift + scale * c.loc, scale: scale * c.scale }),
};
const unscaled = { rescale: (c) => c };
const positive = { kind: "real", low: () => 0, high: () => Infinity };

const DiagonalNormal = {
  ...onTheLine,
  variance: (c) => c.scale ** 2,
  logProb: (c, y) => -0.5 * standardised(c, y) ** 2 - Math.log(c.scale) - HALF_LOG_2PI,
  score: (c, y) => -standardised(c, y) / c.scale,
  tails: (c, y) => { const z = standardised(c, y); return [normalTail(-z), normalTail(z)]; },
};

const StudentT = {
  ...onTheLine,
  variance: (c) => (c.df > 2 ? c.scale ** 2 * c.df / (c.df - 2) : Infinity),
  logProb: (c, y) => logGamma(0.5 * c.df + 0.5) - logGamma(0.5 * c.df) - 0.5 * Math.log(Math.PI * c.df)
    - Math.log(c.scale) - 0.5 * (c.df + 1) * Math.log1p(standardised(c, y) ** 2 / c.df),
  score: (c, y) => { const z = standardised(c, y); return -(c.df + 1) * z / (c.df + z * z) / c.scale; },
  tails: (c, y) => {
    const z = standardised(c, y), total = c.df + z * z;
    const outer = 0.5 * betaTails(c.df / total, z * z / total, 0.5 * c.df, 0.5)[0];
    return z < 0 ? [outer, 1 - outer] : [1 - outer, outer];
  },
};

const Laplace = {
  ...onTheLine,
  variance: (c) => 2 * c.scale ** 2,
  places: (c) => [...TO_THE_END.map((x) => -x), ...STEPS, ...TO_THE_END].map((step) => c.loc + c.scale * step),
  logProb: (c, y) => -Math.abs(standardised(c, y)) - Math.log(2 * c.scale),
  score: (c, y) => -Math.sign(standardised(c, y)) / c.scale,
  tails: (c, y) => {
    const z = standardised(c, y), half = 0.5 * Math.exp(-Math.abs(z));
    return z < 0 ? [half, 1 - half] : [1 - half, half];
  },
};

const Logistic = {
  ...onTheLine,
  variance: (c) => (Math.PI * c.scale) ** 2 / 3,
  logProb: (c, y) => {
    const z = Math.abs(standardised(c, y));
    return -z - 2 * Math.log1p(Math.exp(-z)) - Math.log(c.scale);
  },
  score: (c, y) => -Math.tanh(0.5 * standardised(c, y)) / c.scale,
  tails: (c, y) => {
    const z = standardised(c, y), small = Math.exp(-Math.abs(z)), pair = [small / (1 + small), 1 / (1 + small)];
    return z < 0 ? pair : pair.reverse();
  },
};

const logStandardised = (c, y) => (Math.log(Math.max(y, TINY)) - c.loc) / c.scale;
const LogNormal = {
  ...positive,
  mean: (c) => Math.exp(c.loc + 0.5 * c.scale ** 2),
  variance: (c) => Math.expm1(c.scale ** 2) * Math.exp(2 * c.loc + c.scale ** 2),
  rescale: (c, shift, scale) => ({ loc: c.loc + Math.log(scale), scale: c.scale }),
  places: (c) => [c.loc, c.loc - c.scale ** 2].flatMap((from) => STEPS.map((step) => Math.exp(from + c.scale * step))),
  logProb: (c, y) => (y > 0 ? -0.5 * logStandardised(c, y) ** 2 - Math.log(c.scale) - Math.log(y) - HALF_LOG_2PI
    : -Infinity),
  score: (c, y) => (y > 0 ? -(1 + logStandardised(c, y) / c.scale) / Math.max(y, SMALL) : 0),
  tails: (c, y) => { const z = y > 0 ? logStandardised(c, y) : -Infinity; return [normalTail(-z), normalTail(z)]; },
};

const Gamma = {
  ...positive,
  mean: (c) => c.concentration * c.scale,
  variance: (c) => c.concentration * c.scale ** 2,
  rescale: (c, shift, scale) => ({ concentration: c.concentration, scale: scale * c.scale }),
  places: (c) => {
    const a = c.concentration; // Wilson and Hilferty (1931)
    const cubes = STEPS.map((step) => a * Math.max(1 - 1 / (9 * a) + step / (3 * Math.sqrt(a)), 0) ** 3);
    return [...cubes, Math.max(a - 1, 0), ...TO_THE_END.map((share) => a * share)].map((unit) => c.scale * unit);
  },
  logProb: (c, y) => {
    if (!(y > 0)) return -Infinity;
    const x = Math.max(y / c.scale, TINY);
    return logPoisson(c.concentration, x) + Math.log(c.concentration) - Math.log(x) - Math.log(c.scale);
  },
  score: (c, y) => (y > 0 ? (c.concentration - 1) / Math.max(y, SMALL) - 1 / c.scale : 0),
  tails: (c, y) => gammaTails(c.concentration, Math.max(y, 0) / c.scale),
};

const Beta = {
  ...unscaled,
  kind: "real",
  low: (c) => c.low,
  high: (c) => c.high,
  mean: (c) => c.low + (c.high - c.low) * c.concentration1 / (c.concentration1 + c.concentration0),
  variance: (c) => {
    const a = c.concentration1, b = c.concentration0;
    return (c.high - c.low) ** 2 * a * b / ((a + b) ** 2 * (a + b + 1));
  },
  places: (c) => {
    const a = c.concentration1, b = c.concentration0, spread = Math.sqrt(1 / a + 1 / b);
    const logits = STEPS.map((step) => Math.log(a) - Math.log(b) + spread * step);
    const mode = a > 1 && b > 1 ? (a - 1) / (a + b - 2) : 0.5;
    const units = [...logits.map(logistic), mode, ...TO_THE_END, ...TO_THE_END.map((share) => 1 - share)];
    return units.map((unit) => c.low + (c.high - c.low) * unit);
  },
  logProb: (c, y) => {
    if (!(y > c.low && y < c.high)) return -Infinity;
    const width = c.high - c.low, u = Math.max((y - c.low) / width, TINY), v = Math.max((c.high - y) / width, TINY);
    return logBetaDensity(u, v, c.concentration1, c.concentration0) - Math.log(width);
  },
  score: (c, y) => {
    if (!(y > c.low && y < c.high)) return 0;
    const width = c.high - c.low, u = Math.max((y - c.low) / width, SMALL), v = Math.max((c.high - y) / width, SMALL);
    return ((c.concentration1 - 1) / u - (c.concentration0 - 1) / v) / width;
  },
  tails: (c, y) => {
    if (y <= c.low) return [0, 1];
    if (y >= c.high) return [1, 0];
    const width = c.high - c.low;
    return betaTails((y - c.low) / width, (c.high - y) / width, c.concentration1, c.concentration0);
  },
};

function reachOf(kappa) { return 2 * Math.asin(Math.sqrt(Math.min(20 / kappa, 1))); }

// The integral of a function times exp(kappa (cos t - 1)) from 0 to pi.
function circleIntegral(kappa, of) {
  const reach = reachOf(kappa);
  let sum = 0;
  RULE.nodes.forEach((node, i) => {
    const t = 0.5 * reach * (1 + node);
    sum += RULE.weights[i] * of(t) * Math.exp(-2 * kappa * Math.sin(0.5 * t) ** 2);
  });
  return 0.5 * reach * sum;
}

// The probability from -pi to t seen from the mode; t may be up to two turns away.
function fromAntimode(c, t) {
  const turns = Math.floor((t + Math.PI) / (2 * Math.PI)), kappa = c.concentration;
  t -= 2 * Math.PI * turns;
  const reach = reachOf(kappa), edge = Math.min(Math.abs(t), reach);
  const start = Math.min(edge + Math.sqrt(80 / kappa), reach);
  let sum = 0;
  RULE.nodes.forEach((node, i) => {
    const at = edge + 0.5 * (start - edge) * (1 + node);
    sum += RULE.weights[i] * Math.exp(-2 * kappa * Math.sin(0.5 * at) ** 2);
  });
  const tail = 0.5 * (start - edge) * sum / (2 * norm(c));
  return turns + (t < 0 ? tail : 1 - tail);
}

function norm(c) { // kept: it is asked for at every place
  if (c.norm === undefined) c.norm = circleIntegral(c.concentration, () => 1);
  return c.norm;
}

const VonMises = {
  ...unscaled,
  kind: "angle",
  low: () => -Math.PI,
  high: () => Math.PI,
  mean: (c) => wrapped(c.loc),
  variance: (c) => 1 - circleIntegral(c.concentration, Math.cos) / norm(c), // circular
  places: (c) => STEPS.map((s) => wrapped(c.loc + Math.min(Math.max(s / Math.sqrt(c.concentration), -3.1), 3.1))),
  logProb: (c, y) => -2 * c.concentration * Math.sin(0.5 * (y - c.loc)) ** 2 - Math.log(2 * norm(c)),
  score: (c, y) => -c.concentration * Math.sin(y - c.loc),
  tails: (c, y) => {
    const at = Math.min(Math.max(y, -Math.PI), Math.PI), loc = wrapped(c.loc), here = fromAntimode(c, at - loc);
    const inside = (p) => Math.min(Math.max(p, 0), 1);
    return [inside(here - fromAntimode(c, -Math.PI - loc)), inside(fromAntimode(c, Math.PI - loc) - here)];
  },
};

const counted = {
  ...unscaled,
  kind: "count",
  low: () => 0,
  high: () => Infinity,
  mean: (c) => c.rate,
};

const Poisson = {
  ...counted,
  variance: (c) => c.rate,
  places: (c) => STEPS.map((step) => Math.max(Math.floor(c.rate + Math.sqrt(c.rate) * step), 0)),
  logProb: (c, y) => {
    if (!(y >= 0 && y === Math.floor(y))) return -Infinity;
    return y > 0 ? logPoisson(y, c.rate) : -c.rate;
  },
  tails: (c, y) => (y < 0 ? [0, 1] : gammaTails(Math.floor(y) + 1, c.rate).reverse()),
};

const NegativeBinomial = {
  ...counted,
  variance: (c) => c.rate * (1 + c.rate / c.total_count),
  places: (c) => STEPS.map((step) => Math.max(Math.floor(c.rate + Math.sqrt(NegativeBinomial.variance(c)) * step), 0)),
  logProb: (c, y) => {
    if (!(y >= 0 && y === Math.floor(y))) return -Infinity;
    const size = c.total_count, stop = size / (size + c.rate), again = c.rate / (size + c.rate), total = y + size;
    const own = y > 0 ? logPoisson(y, total * again) : -total * again;
    return logPoisson(size, total * stop) + own - logPoisson(total, total) + Math.log(size) - Math.log(total);
  },
  tails: (c, y) => {
    if (y < 0) return [0, 1];
    const size = c.total_count;
    if (size > 1e9) return Poisson.tails(c, y);
    return betaTails(size / (size + c.rate), c.rate / (size + c.rate), size, Math.floor(y) + 1);
  },
};

const PointMass = {
  ...unscaled,
  kind: "atom",
  low: (c) => c.value,
  high: (c) => c.value,
  mean: (c) => c.value,
  variance: () => 0,
  places: (c) => [c.value],
  logProb: (c, y) => (y === c.value ? 0 : -Infinity),
  tails: (c, y) => (y >= c.value ? [1, 0] : [0, 1]),
};

function logistic(x) { return 1 / (1 + Math.exp(-Math.min(Math.max(x, -700), 700))); }

// A family on the line, seen through a logistic map onto (low, high).
function logit(base) {
  const forward = (c, z) => c.low + (c.high - c.low) * logistic(z);
  const inverse = (c, y) => { // from both ends: next to the upper one, 1 - u would be 0
    const width = c.high - c.low, log = (part) => Math.log(Math.max(part / width, TINY));
    return log(y - c.low) - log(c.high - y);
  };
  const inside = (c, y) => y > c.low && y < c.high;
  const logSlope = (c, z) => Math.log(c.high - c.low) - Math.abs(z) - 2 * Math.log1p(Math.exp(-Math.abs(z)));
  const moments = (c) => {
    const far = BEYOND.flatMap((width) => [c.loc - width * c.scale, c.loc + width * c.scale]);
    const z = [...base.places(c), ...far].sort((a, b) => a - b), cells = [z[0] - 60, ...z, z[z.length - 1] + 60], parts = [];
    for (let i = 1; i < cells.length; i++) {
      const half = 0.5 * (cells[i] - cells[i - 1]), centre = 0.5 * (cells[i] + cells[i - 1]);
      SHORT_RULE.nodes.forEach((node, n) => {
        const at = centre + half * node;
        parts.push([half * SHORT_RULE.weights[n] * Math.exp(base.logProb(c, at)), forward(c, at)]);
      });
    }
    const total = parts.reduce((sum, [mass]) => sum + mass, 0);
    const mean = parts.reduce((sum, [mass, y]) => sum + mass * y, 0) / total;
    return [mean, parts.reduce((sum, [mass, y]) => sum + mass * (y - mean) ** 2, 0) / total];
  };
  return {
    ...unscaled,
    kind: "real",
    low: (c) => c.low,
    high: (c) => c.high,
    mean: (c) => moments(c)[0],
    variance: (c) => moments(c)[1],
    places: (c) => [
      ...base.places(c).map((z) => forward(c, z)),
      ...[...TO_THE_END, ...TO_THE_END.map((share) => 1 - share)].map((u) => c.low + (c.high - c.low) * u),
    ],
    logProb: (c, y) => {
      if (!inside(c, y)) return -Infinity;
      const z = inverse(c, y);
      return base.logProb(c, z) - logSlope(c, z);
    },
    score: (c, y) => {
      if (!inside(c, y)) return 0;
      const z = inverse(c, y), slope = (base.score(c, z) + Math.tanh(0.5 * z)) * Math.exp(-logSlope(c, z));
      return Math.min(Math.max(slope, -LARGE), LARGE);
    },
    tails: (c, y) => {
      if (y <= c.low) return [0, 1];
      return y >= c.high ? [1, 0] : base.tails(c, inverse(c, y));
    },
  };
}

const FAMILIES = {
  DiagonalNormal, SphericalNormal: DiagonalNormal, StudentT, Laplace, Logistic, LogNormal, Gamma, Beta, VonMises, Poisson, NegativeBinomial, PointMass,
};
const LOGITS = Object.fromEntries(["DiagonalNormal", "StudentT", "Laplace", "Logistic"].map((name) => [name, logit(FAMILIES[name])]));
