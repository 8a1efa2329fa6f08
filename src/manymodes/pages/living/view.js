// The living part: its state, its controls, and what is drawn anew when something changes.

class Living {
  constructor(root, page) {
    this.page = page;
    this.source = page.network ? new LiveSource(page) : new SlicedSource(page);
    this.state = {
      row: this.source.firstRow(), kept: null, target: 0, level: 0.9, components: false, range: null,
      mapFeature: this.source.mapFeatures()[0], pair: 1,
    };
    this.parts = this.built(root);
    this.controls = this.source.controls(this.parts.form, (name, value) => this.moved(name, value));
    this.controls.show(this.state.row);
    this.followPointer();
    this.draw();
    const again = () => { this.draw(); this.drawSlowly(); }; // pictures of pixels know their colours when they are drawn
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    addEventListener("beforeprint", again);
  }

  // --- what it is made of ---

  built(root) {
    const parts = {
      form: element("form", { class: "features", "aria-label": "Features" }),
      chart: element("figure", { class: "density" }),
      words: element("p", { class: "words", "aria-live": "polite" }),
      beyond: element("p", { class: "beyond", role: "status" }),
      table: element("div", { class: "scroll numbers" }),
      map: element("figure", { class: "map" }),
      pair: element("figure", { class: "map" }),
      range: element("div", { class: "range" }),
    };
    parts.form.addEventListener("submit", (event) => event.preventDefault());
    root.replaceChildren(
      element("div", { class: "living" }, [
        element("div", { class: "chosen-row" }, [parts.form, this.rowTools()]),
        element("div", { class: "shown" }, [this.toolbar(), parts.chart, parts.beyond, parts.range, parts.words, parts.map, parts.pair]),
        parts.table,
      ]),
    );
    this.rangeTools(parts.range);
    return parts;
  }

  toolbar() {
    const { targets } = this.page, bar = element("div", { class: "toolbar" });
    if (targets.length > 1) bar.append(this.menu("target", targets, (i) => {
      this.low.value = this.high.value = "";
      this.set({ target: i, range: null });
    }));
    const level = element("input", { type: "range", min: "50", max: "99", value: "90", step: "1", id: "living-level" });
    const shown = element("output", { for: "living-level" }, "90 %");
    level.addEventListener("input", () => {
      shown.textContent = `${level.value} %`;
      this.set({ level: Number(level.value) / 100 });
    });
    const components = element("input", { type: "checkbox", id: "living-components" });
    components.addEventListener("change", () => this.set({ components: components.checked }));
    bar.append(
      element("label", {}, ["region of ", level, shown]),
      element("label", {}, [components, " components"]),
    );
    return bar;
  }

  // A row to start from, and one to compare with.
  rowTools() {
    const tools = element("div", { class: "toolbar" });
    if (this.page.examples.length && this.page.network) {
      const names = ["choose one", ...this.page.examples.map((example) => example.label)];
      tools.append(this.menu("a row of the data", names, (i) => { if (i) this.load(i - 1); }));
    }
    const keep = element("button", { type: "button" }, "Keep to compare");
    const drop = element("button", { type: "button", hidden: true }, "Stop comparing");
    keep.addEventListener("click", () => { drop.hidden = false; this.set({ kept: { ...this.state.row } }); });
    drop.addEventListener("click", () => { drop.hidden = true; keep.focus(); this.set({ kept: null }); });
    tools.append(keep, drop);
    return tools;
  }

  rangeTools(place) {
    const box = (label) => {
      const input = element("input", { type: "number", step: "any", "aria-label": `${label} end of the range` });
      input.addEventListener("change", () => this.rangeTyped());
      return input;
    };
    this.low = box("lower");
    this.high = box("upper");
    this.probability = element("output", { class: "probability", "aria-live": "polite" });
    place.append("Probability from ", this.low, " to ", this.high, ": ", this.probability,
      element("small", {}, " (type both ends, or drag across the curve)"));
  }

  menu(label, names, chosen) {
    const menu = element("select", {}, names.map((name, i) => element("option", { value: String(i) }, name)));
    menu.addEventListener("change", () => chosen(Number(menu.value)));
    return element("label", {}, [`${label} `, menu]);
  }

  // --- what changes it ---

  set(change) {
    Object.assign(this.state, change);
    this.settled = false;
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = null; this.draw(); });
  }

  moved(name, value) { this.set({ row: typeof name === "string" ? { ...this.state.row, [name]: value } : name }); }

  load(i) {
    const row = this.source.exampleRow(i);
    this.set({ row });
    this.controls.show(row);
  }

  rangeTyped() {
    const low = this.low.value === "" ? -Infinity : Number(this.low.value);
    const high = this.high.value === "" ? Infinity : Number(this.high.value);
    this.set({ range: this.low.value === "" && this.high.value === "" ? null : [Math.min(low, high), Math.max(low, high)] });
  }

  // A range dragged across the curve.
  followPointer() {
    let start = null;
    const valueAt = (event) => {
      const box = this.parts.chart.querySelector("svg").getBoundingClientRect();
      return this.chart.value((event.clientX - box.left) / box.width * this.chart.width);
    };
    this.parts.chart.addEventListener("pointerdown", (event) => {
      if (!event.target.closest("svg")) return;
      start = valueAt(event);
      this.parts.chart.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    this.parts.chart.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const end = valueAt(event), step = (this.chart.high - this.chart.low) / 1000;
      const [low, high] = [Math.min(start, end), Math.max(start, end)].map((v) => rounded10(v, 10 ** Math.floor(Math.log10(step))));
      this.low.value = String(low);
      this.high.value = String(high);
      this.set({ range: [low, high] });
    });
    const stop = () => { start = null; };
    this.parts.chart.addEventListener("pointerup", stop);
    this.parts.chart.addEventListener("pointercancel", stop);
  }

  // --- what is drawn ---

  draw() {
    const { row, kept, target, level, range } = this.state, name = this.page.targets[target];
    this.density = this.source.density(row);
    this.current = answers(this.density.line(target), level);
    const other = kept ? answers(this.source.density(kept).line(target), level) : null;
    const { chart, svg } = densityChart(name, [this.current, other], this.page.ranges[target], this.state);
    this.chart = chart;
    const legend = other ? "<figcaption>Blue: as the sliders stand. Orange: what was kept.</figcaption>" : "";
    this.parts.chart.innerHTML = svg + legend;
    this.parts.beyond.textContent = this.source.beyond(row);
    this.parts.table.innerHTML = tableOf(name, [this.current, other].filter(Boolean), level);
    this.showRange(range, other);
    clearTimeout(this.later);
    this.settled = false;
    this.later = setTimeout(() => this.drawSlowly(), this.drawn ? 120 : 0);
    this.drawn = true;
  }

  showRange(range, other) {
    if (!range) { this.probability.textContent = "–"; return; }
    const own = percent(this.current.line.probability(...range));
    this.probability.textContent = other ? `${own}; kept: ${percent(other.line.probability(...range))}` : own;
  }

  // What takes longer than a frame, or is read out: after a pause.
  drawSlowly() {
    const name = this.page.targets[this.state.target];
    this.parts.words.textContent = described(name, this.current);
    this.drawMap(name);
    if (this.page.targets.length > 1) this.drawPair();
    this.settled = true;
  }

  drawMap(name) {
    const { row, mapFeature, target } = this.state, along = this.source.along(row, mapFeature), height = 120;
    const lines = along.densities.map((density) => density.line(target));
    const ends = [...this.page.ranges[target]], [low, high] = this.current.line.kind === "angle" ? [-Math.PI, Math.PI] : ends;
    const columns = heatColumns(lines, low, high, height), canvas = this.canvas(this.parts.map, "map");
    paint(canvas, columns.length, height, (column, y) => columns[column][y]);
    const place = this.source.place(row, mapFeature, along), n = along.values.length;
    const share = along.isMenu ? (place + 0.5) / n : place;
    const choice = this.menu("p(" + name + ") along", this.source.mapFeatures(), (i) => this.set({ mapFeature: this.source.mapFeatures()[i] }));
    choice.querySelector("select").value = String(this.source.mapFeatures().indexOf(mapFeature));
    const step = (high - low) / 500, texts = along.isMenu ? along.texts : [along.texts[0], along.texts[Math.floor(n / 2)], along.texts[n - 1]];
    this.framed(this.parts.map, canvas, {
      top: numberText(high, step), bottom: numberText(low, step), marks: place < 0 ? [] : [share], texts, choice,
      caption: `What ${name} may be along ${mapFeature}, the other features as chosen: strong colour is likely, each column relative to `
        + "its own highest density. The line is where the sliders stand.",
    });
  }

  drawPair() {
    const { target } = this.state, second = this.secondTarget(), size = 72;
    const [low, high] = this.page.ranges[target], [bottom, top] = this.page.ranges[second], values = new Float64Array(size * size);
    const kinds = [target, second].map((d) => this.density.line(d).kind), whole = (y, kind) => (kind === "count" ? Math.round(y) : y);
    for (let r = 0; r < size; r++) {
      for (let c = 0; c < size; c++) {
        const y = whole(low + (high - low) * (c + 0.5) / size, kinds[0]), z = whole(top - (top - bottom) * (r + 0.5) / size, kinds[1]);
        values[r * size + c] = Math.exp(this.density.pairLogProb(target, second, y, z));
      }
    }
    const most = topOf([Array.from(values, (p) => [0, p])]), canvas = this.canvas(this.parts.pair, "pair");
    paint(canvas, size, size, (c, r) => Math.sqrt(values[r * size + c] / most));
    const others = this.page.targets.map((_, i) => i).filter((i) => i !== target);
    const choice = this.menu(`${this.page.targets[target]} together with`, others.map((i) => this.page.targets[i]), (i) => this.set({ pair: others[i] }));
    choice.querySelector("select").value = String(others.indexOf(second));
    const texts = [low, 0.5 * (low + high), high].map((y) => numberText(y, (high - low) / 500));
    this.framed(this.parts.pair, canvas, {
      top: numberText(top, (top - bottom) / 500), bottom: numberText(bottom, (top - bottom) / 500), marks: [], texts, choice,
      contours: [0.5, 0.9].map((share) => contourPath(values, size, size, gridLevel(values, share))), size,
      caption: `Joint density of ${this.page.targets[target]} (across) and ${this.page.targets[second]} (up): strong colour is likely, `
        + "the lines hold about 50 and 90 % of the probability.",
    });
  }

  secondTarget() {
    const { pair, target } = this.state;
    return pair !== target ? pair : target === 0 ? 1 : 0;
  }

  canvas(figure, id) { return figure.querySelector("canvas") || element("canvas", { id: `living-${id}` }); }

  // A canvas in a frame: the ends of its axes, marks, contours, a menu and a caption.
  framed(figure, canvas, { top, bottom, marks, texts, choice, caption, contours = [], size = 1 }) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", caption);
    const lines = marks.map((share) => `<line x1="${100 * share}" x2="${100 * share}" y1="0" y2="100" class="here"/>`).join("");
    const drawn = contours.map((d) => `<path d="${d}" class="contour" transform="scale(${100 / size}) translate(0.5 0.5)"/>`).join("");
    const overlay = `<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">${lines}${drawn}</svg>`;
    const hadFocus = figure.contains(document.activeElement);
    const frame = element("div", { class: "frame" });
    frame.append(canvas);
    frame.insertAdjacentHTML("beforeend", overlay);
    figure.replaceChildren(
      element("div", { class: "toolbar" }, choice),
      element("div", { class: "framed" }, [
        element("div", { class: "ends" }, [element("span", {}, top), element("span", {}, bottom)]),
        element("div", { class: "wide" }, [frame, element("div", { class: "steps" }, texts.map((text) => element("span", {}, text)))]),
      ]),
      element("figcaption", {}, caption),
    );
    if (hadFocus) choice.querySelector("select").focus();
  }
}

function start() {
  const root = document.getElementById("living-root"), data = document.getElementById("manymodes-model");
  if (!root || !data) return;
  const living = new Living(root, JSON.parse(data.textContent));
  window.manymodes.living = living;
  document.addEventListener("click", (event) => { // rows elsewhere on the page lead here
    const link = event.target.closest("[data-row]");
    const place = link ? living.page.examples.findIndex((example) => example.id === link.dataset.row) : -1;
    if (place >= 0 && place < living.source.nExamples()) { living.load(place); root.scrollIntoView({ block: "start" }); }
  });
}

window.manymodes = { encoded, densityOf };
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
