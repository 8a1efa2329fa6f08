// The network in the page: numbers that are inlined as base64, the encoding of a row, and the forward pass.

function bytesOf(base64) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// Tensors by name from { name: { shape, kind, at, ... } } and one run of bytes.
function unpacked(entries, bytes) {
  const tensors = {};
  for (const [name, entry] of Object.entries(entries)) {
    const size = entry.shape.reduce((product, n) => product * n, 1);
    tensors[name] = { shape: entry.shape, data: entry.bits ? rounded(entry, bytes, size) : exact(entry, bytes, size) };
  }
  return tensors;
}

function exact(entry, bytes, size) {
  const width = entry.kind === "float64" ? 8 : 4, part = bytes.slice(entry.at, entry.at + width * size);
  return width === 8 ? new Float64Array(part.buffer) : new Float32Array(part.buffer);
}

// Whole numbers of a few bits each, times a scale for every row of the last axis.
function rounded(entry, bytes, size) {
  const { bits, shape, at } = entry, width = shape[shape.length - 1], rows = size / width;
  const scales = new Float32Array(bytes.slice(entry.scales, entry.scales + 4 * rows).buffer);
  const out = new Float32Array(size), half = 2 ** (bits - 1);
  let place = 8 * at;
  for (let i = 0; i < size; i++) {
    let value = 0;
    for (let got = 0; got < bits;) {
      const offset = place & 7, take = Math.min(8 - offset, bits - got);
      value |= ((bytes[place >> 3] >> offset) & ((1 << take) - 1)) << got;
      got += take;
      place += take;
    }
    out[i] = Math.fround((value - half) * scales[Math.floor(i / width)]);
  }
  return out;
}

// --- a row of a table as numbers ---

const DAY = 86400;

function timeParts(seconds, parts) {
  const missing = Number.isNaN(seconds), known = missing ? 0 : seconds, out = [seconds];
  const day = Math.floor(known / DAY), ofDay = (known - day * DAY) / DAY;
  for (const part of parts) {
    if (part === "weekday") { out.push(missing ? 3 : (((day + 3) % 7) + 7) % 7); continue; } // 1970 began on a Thursday
    const turns = part === "of_day" ? ofDay : shareOfYear(known);
    out.push(...(missing ? [0, 0] : [Math.sin(2 * Math.PI * turns), Math.cos(2 * Math.PI * turns)]));
  }
  return out;
}

function shareOfYear(seconds) {
  const year = new Date(seconds * 1000).getUTCFullYear();
  const begin = (y) => new Date(0).setUTCFullYear(y, 0, 1) / 1000; // Date.UTC takes 99 for 1999
  return (seconds - begin(year)) / (begin(year + 1) - begin(year));
}

// One row, { name: number | text | null }, as the numbers that the network takes. Times are seconds since 1970.
function encoded(encoder, row) {
  const numbers = encoder.columns.flatMap((column) => {
    const value = row[column.name];
    if (column.is_empty || column.is_constant) return timeParts(0, column.parts).map(() => 0);
    if (column.kind === "category") {
      return [value === null ? (column.has_missing ? column.levels.length : -1) : column.levels.indexOf(value)];
    }
    return column.kind === "time" ? timeParts(value === null ? NaN : value, column.parts) : [value === null ? NaN : value];
  });
  return encoder.order.map((place) => numbers[place]);
}

// --- the forward pass ---

const silu = (x) => x / (1 + Math.exp(-x));
const softplus = (x) => (x > 20 ? x : Math.log1p(Math.exp(x))); // as torch does

class Network {
  constructor(plan, tensors) {
    this.plan = plan;
    this.tensors = tensors;
    this.nMembers = plan.n_members;
  }

  // Log-weights and parameters in scaled units, by name: arrays (M, ...), flat.
  parameters(numbers) {
    const input = this.scaled(numbers), raws = [];
    for (let m = 0; m < this.nMembers; m++) raws.push(this.member(m, input));
    return this.laidOut(raws);
  }

  // Scaled numbers, numbers of levels, and flags of what is missing.
  scaled(numbers) {
    const { reach, gaps, categories } = this.plan, loc = this.tensors.loc.data, scale = this.tensors.scale.data;
    const flags = gaps.map((place) => (Number.isNaN(numbers[place]) ? 1 : 0));
    const out = Array.from(numbers, (x, i) => {
      const z = Number.isNaN(x) ? 0 : (x - loc[i]) / scale[i], beyond = Math.max(Math.abs(z) - reach, 0);
      return Math.min(Math.max(z, -reach), reach) + Math.sign(z) * Math.log1p(beyond);
    });
    categories.forEach((place, c) => {
      const width = this.tensors.levels.shape[1], levels = this.tensors.levels.data.subarray(c * width, (c + 1) * width);
      out[place] = levels.indexOf(numbers[place]) + 1;
    });
    return { columns: out, flags };
  }

  member(m, input) {
    let features = this.embedded(m, input);
    this.plan.layers.forEach((layer, i) => {
      const next = this.linear(`layer${i}`, m, features);
      for (let j = 0; j < next.length; j++) next[j] = silu(next[j]) + (layer.skips ? features[j] : 0);
      features = next;
    });
    return this.linear("head", m, features);
  }

  linear(name, m, x) {
    const { shape: [, rows, columns], data } = this.tensors[`${name}.weight`], out = new Float64Array(columns);
    const bias = this.tensors[`${name}.bias`].data, first = m * rows * columns;
    for (let j = 0; j < columns; j++) out[j] = bias[m * columns + j];
    for (let i = 0; i < rows; i++) {
      const value = x[i], from = first + i * columns;
      if (value !== 0) for (let j = 0; j < columns; j++) out[j] += value * data[from + j];
    }
    return out;
  }

  embedded(m, { columns, flags }) {
    const { numeric, categories } = this.plan, parts = [];
    if (numeric.length) parts.push(...this.waves(m, numeric.map((place) => columns[place])));
    categories.forEach((place, c) => {
      const { shape: [, levels, width], data } = this.tensors[`table${c}`], level = columns[place];
      for (let k = 0; k < width; k++) parts.push(level > 0 ? data[(m * levels + level - 1) * width + k] : 0);
    });
    return Float64Array.from([...parts, ...flags]);
  }

  // Each number, and a learned map of waves of it.
  waves(m, numbers) {
    const { shape: [, nColumns, nWaves2, width], data } = this.tensors.waves, n = nWaves2 / 2, out = [];
    const frequencies = this.tensors.frequencies.data, bias = this.tensors.wave_bias.data;
    const low = this.tensors.low.data, high = this.tensors.high.data, wave = new Float64Array(nWaves2);
    numbers.forEach((x, f) => {
      const at = Math.min(Math.max(x, low[f]), high[f]);
      for (let w = 0; w < n; w++) {
        const turn = 2 * Math.PI * frequencies[(m * nColumns + f) * n + w] * at;
        wave[w] = Math.cos(turn);
        wave[n + w] = Math.sin(turn);
      }
      out.push(x);
      for (let k = 0; k < width; k++) {
        let sum = bias[(m * nColumns + f) * width + k];
        for (let w = 0; w < nWaves2; w++) sum += wave[w] * data[((m * nColumns + f) * nWaves2 + w) * width + k];
        out.push(Math.max(sum, 0));
      }
    });
    return out;
  }

  // Raw numbers of every member, mapped into legal parameters.
  laidOut(raws) {
    const { n_components: n, slots } = this.plan, out = { logits: [] };
    for (const raw of raws) {
      const logits = raw.subarray(0, n), total = logSumExp(logits);
      out.logits.push(...Array.from(logits, (x) => x - total));
      let first = n;
      for (const slot of slots) {
        const per = slot.raw_size / slot.n_components;
        out[slot.name] = out[slot.name] || [];
        for (let k = 0; k < slot.n_components; k++) {
          out[slot.name].push(...linked(slot, raw.subarray(first + k * per, first + (k + 1) * per)));
        }
        first += slot.raw_size;
      }
    }
    return out;
  }
}

function linked(slot, raw) {
  const floor = (i) => slot.floor[slot.floor.length === 1 ? 0 : i], values = Array.from(raw);
  switch (slot.link) {
    case "real": return values;
    case "scale": return values.map((x, i) => floor(i) + softplus(x));
    case "rate": return values.map((x) => Math.exp(Math.min(Math.max(x, -60), 60)));
    case "concentration": return values.map((x, i) => (floor(i) + softplus(x)) ** -2);
    case "degrees_of_freedom": return values.map((x, i) => 1 + floor(i) + softplus(x));
    case "scale_tril": return lowerFactor(slot.shape[0], values, floor);
    default: throw new Error(`unknown link ${slot.link}`);
  }
}

function lowerFactor(n, raw, floor) {
  const out = new Array(n * n).fill(0);
  for (let i = 0; i < n; i++) out[i * n + i] = floor(i) + softplus(raw[i]);
  for (let i = 1, next = n; i < n; i++) for (let j = 0; j < i; j++) out[i * n + j] = raw[next++];
  return out;
}

// --- parameters as a density in the units of the targets ---

function densityOf(model, parameters) {
  const nAll = model.components.reduce((sum, group) => sum + group.size, 0), components = [];
  for (let m = 0; m < model.n_members; m++) {
    let first = m * nAll;
    for (const group of model.components) {
      for (let k = 0; k < group.size; k++) {
        const w = parameters.logits[first + k] - Math.log(model.n_members);
        components.push({ w, ...madeOf(model, group, parameters, m * group.size + k) });
      }
      first += group.size;
    }
  }
  return new Density(components);
}

// One component: { dims: [{ family, c }], blocks: [{ dims, loc, tril }] } in the units of the targets.
function madeOf(model, group, parameters, place) {
  const dims = [], blocks = [], { shift, scale } = model.scaling, nAll = model.n_members * group.size;
  for (const block of group.blocks) {
    const own = {};
    for (const [name, key] of Object.entries(block.parameters)) {
      const width = parameters[key].length / nAll;
      own[name] = parameters[key].slice(place * width, (place + 1) * width);
    }
    if (block.family === "FullNormal" || block.family === "LowRankNormal") {
      const { loc, tril } = correlatedIn(block, own, shift, scale), n = block.dims.length;
      const deviation = (i) => Math.sqrt(block.dims.reduce((sum, _, k) => sum + tril[i * n + k] ** 2, 0));
      block.dims.forEach((d, i) => { dims[d] = { family: DiagonalNormal, c: { loc: loc[i], scale: deviation(i) } }; });
      if (n > 1) blocks.push({ dims: block.dims, loc, tril });
    } else {
      block.dims.forEach((d, i) => { dims[d] = single(block, own, i, shift[d], scale[d]); });
    }
  }
  return { dims, blocks };
}

function single(block, own, i, shift, scale) {
  const c = {};
  for (const [name, values] of Object.entries(own)) c[name] = values[Math.min(i, values.length - 1)]; // one scale for all
  for (const [name, values] of Object.entries(block.given)) c[name] = values[i];
  if (!block.transform) return { family: FAMILIES[block.family], c: FAMILIES[block.family].rescale(c, shift, scale) };
  return { family: LOGITS[block.family], c: { ...c, low: block.transform.low[i], high: block.transform.high[i] } };
}

function correlatedIn(block, own, shift, scale) {
  const n = block.dims.length, loc = block.dims.map((d, i) => shift[d] + scale[d] * own.loc[i]);
  const lower = own.scale_tril || choleskyOf(own, n);
  return { loc, tril: Array.from(lower, (value, i) => scale[block.dims[Math.floor(i / n)]] * value) };
}

// The lower factor of a covariance of low rank plus a diagonal.
function choleskyOf({ factor, scale }, n) {
  const rank = factor.length / n, lower = new Array(n * n).fill(0);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? scale[i] ** 2 : 0;
      for (let r = 0; r < rank; r++) sum += factor[i * rank + r] * factor[j * rank + r];
      for (let k = 0; k < j; k++) sum -= lower[i * n + k] * lower[j * n + k];
      lower[i * n + j] = i === j ? Math.sqrt(sum) : sum / lower[j * n + j];
    }
  }
  return lower;
}
