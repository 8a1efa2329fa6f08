// Special functions and the one search for roots. The same formulas as in manymodes/runtime.py, one number at a time.

const TINY = 2.2250738585072014e-308, SMALL = 1e-290, LARGE = 1e300;
const HALF_LOG_2PI = 0.5 * Math.log(2 * Math.PI);
const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188]; // Abramowitz and Stegun (1964), 6.1.41
const MOST_TERMS = 20000;

function stirlingSeries(x) {
  let sum = 0, power = 1 / x;
  for (const term of STIRLING) { sum += term * power; power /= x * x; }
  return sum;
}

function logGamma(x) {
  let shift = 0;
  for (; x < 16; x += 1) shift += Math.log(x);
  return (x - 0.5) * Math.log(x) - x + HALF_LOG_2PI + stirlingSeries(x) - shift;
}

// y log(rate) - rate - log Gamma(y + 1) for y > 0, accurate where both are large (Loader 2000).
function logPoisson(y, rate) {
  const stirling = y > 16 ? stirlingSeries(y)
    : logGamma(y + 1) - (y + 0.5) * Math.log(Math.max(y, TINY)) + y - HALF_LOG_2PI;
  return -stirling - deviance(y, rate) - 0.5 * Math.log(2 * Math.PI * Math.max(y, TINY));
}

// y log(y / rate) + rate - y without a difference where both are close.
function deviance(y, rate) {
  const gap = y - rate, v = gap / Math.max(y + rate, TINY);
  if (Math.abs(v) >= 0.1) return y * (Math.log(Math.max(y, TINY)) - Math.log(Math.max(rate, TINY))) - gap;
  let term = 2 * y * v, tail = 0;
  for (let j = 1; j < 9; j++) { term *= v * v; tail += term / (2 * j + 1); }
  return gap * v + tail;
}

const nonzero = (x) => (Math.abs(x) < TINY ? TINY : x);

// [P(X <= x), P(X > x)] of a standard gamma variable (Press et al., Numerical Recipes, section 6.2).
function gammaTails(a, x) {
  if (!(x > 0)) return [0, 1];
  if (x === Infinity) return [1, 0];
  if (a > 1e7) { // Wilson and Hilferty (1931)
    const z = 3 * Math.sqrt(a) * (Math.cbrt(x / a) - 1 + 1 / (9 * a));
    return [normalTail(-z), normalTail(z)];
  }
  const front = Math.exp(logPoisson(a, x));
  if (x < a + 1) {
    let term = 1, total = 1;
    for (let n = 1; n < MOST_TERMS && term >= 1e-17 * total; n++) { term *= x / (a + n); total += term; }
    const below = Math.min(front * total, 1);
    return [below, 1 - below];
  }
  let b = x + 1 - a, c = LARGE, d = 1 / b, h = d;
  for (let n = 1; n < MOST_TERMS; n++) {
    const an = -n * (n - a);
    b += 2;
    d = 1 / nonzero(an * d + b);
    c = nonzero(b + an / c);
    h *= c * d;
    if (Math.abs(c * d - 1) < 3e-15) break;
  }
  const above = Math.min(front * a * h, 1);
  return [1 - above, above];
}

// P(Z > z) of a standard normal variable.
function normalTail(z) {
  if (z === 0) return 0.5;
  const half = 0.5 * gammaTails(0.5, 0.5 * z * z)[1];
  return z > 0 ? half : 1 - half;
}

function logBetaDensity(u, v, a, b) {
  const total = a + b;
  return logPoisson(a, total * u) + logPoisson(b, total * v) - logPoisson(total, total)
    + Math.log(a) + Math.log(b) - Math.log(total) - Math.log(u) - Math.log(v);
}

// [P(U <= u), P(U > u)] of a beta variable, u + v = 1 (Press et al., section 6.4).
function betaTails(u, v, a, b) {
  if (!(u > 0)) return [0, 1];
  if (!(v > 0)) return [1, 0];
  if (u > (a + 1) / (a + b + 2)) return betaTails(v, u, b, a).reverse();
  const front = Math.exp(logBetaDensity(u, v, a, b) + Math.log(u) + Math.log(v)) / a;
  let c = 1, d = 1 / nonzero(1 - (a + b) * u / (a + 1)), h = d;
  for (let m = 1; m < MOST_TERMS; m++) {
    const even = m * (b - m) * u / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = -(a + m) * (a + b + m) * u / ((a + 2 * m) * (a + 2 * m + 1));
    for (const step of [even, odd]) {
      d = 1 / nonzero(1 + step * d);
      c = nonzero(1 + step / c);
      h *= c * d;
    }
    if (Math.abs(c * d - 1) < 3e-15) break;
  }
  const below = Math.min(front * h, 1);
  return [below, 1 - below];
}

// Nodes and weights of Gauss and Legendre's rule on [-1, 1], by Newton's method on the polynomial.
function gaussLegendre(n) {
  const nodes = [], weights = [];
  for (let i = 0; i < n; i++) {
    let x = Math.cos(Math.PI * (i + 0.75) / (n + 0.5)), slope = 1;
    for (let step = 0; step < 50; step++) {
      let previous = 1, value = x;
      for (let k = 2; k <= n; k++) [previous, value] = [value, ((2 * k - 1) * x * value - (k - 1) * previous) / k];
      slope = n * (x * value - previous) / (x * x - 1);
      const change = value / slope;
      x -= change;
      if (Math.abs(change) < 1e-16) break;
    }
    nodes.push(x);
    weights.push(2 / ((1 - x * x) * slope * slope));
  }
  return { nodes, weights };
}

// Where f changes its sign between a and b (Chandrupatla 1997).
function root(f, a, b) {
  let fa = f(a), fb = f(b), c = a, fc = fa, t = 0.5, best = a;
  for (let step = 0; step < 200; step++) {
    const x = a + t * (b - a), fx = f(x);
    if (Math.sign(fx) === Math.sign(fa)) { c = a; fc = fa; } else { c = b; fc = fb; b = a; fb = fa; }
    a = x; fa = fx;
    best = Math.abs(fa) < Math.abs(fb) ? a : b;
    const limit = (2 * Number.EPSILON * Math.abs(best) + 1e-305) / Math.abs(b - a);
    if (!(limit <= 0.5) || fa === 0 || fb === 0) break;
    const xi = (a - b) / (c - b), phi = (fa - fb) / (fc - fb);
    t = 0.5;
    if (phi * phi < xi && (1 - phi) * (1 - phi) < 1 - xi) {
      t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb);
      if (!Number.isFinite(t)) t = 0.5;
    }
    t = Math.min(Math.max(t, limit), 1 - limit);
  }
  return best;
}

function logSumExp(values) {
  let top = -Infinity, sum = 0;
  for (const value of values) if (value > top) top = value;
  if (top === -Infinity) return top;
  for (const value of values) sum += Math.exp(value - top);
  return top + Math.log(sum);
}
