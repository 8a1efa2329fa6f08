// The explorer's page: it shows the state that the server tells of, and asks for what a person chooses.

class Explorer {
  constructor(root) {
    this.root = root;
    this.state = null;
    this.spokenAt = 0;
    this.message = element("p", { class: "message", role: "alert" });
    this.spoken = element("p", { class: "spoken", role: "status" });
    this.main = element("div");
    root.append(this.message, this.spoken, this.main);
    this.drops();
    const news = new EventSource("events");
    news.onmessage = (event) => this.show(JSON.parse(event.data));
  }

  // --- what is asked of the server ---

  async ask(address, options = {}, doing = "") {
    this.message.textContent = doing;
    try {
      const answer = await fetch(address, { method: "POST", ...options });
      this.message.textContent = answer.ok ? "" : (await answer.json()).error;
    } catch {
      this.message.textContent = "The server does not answer; is manymodes explore still running?";
    }
  }

  upload(file) { this.ask(`table?name=${encodeURIComponent(file.name)}`, { body: file }, `Reading ${file.name} ...`); }

  drops() {
    document.addEventListener("dragover", (event) => { event.preventDefault(); this.root.classList.add("over"); });
    document.addEventListener("dragleave", () => this.root.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      this.root.classList.remove("over");
      if (event.dataTransfer.files.length) this.upload(event.dataTransfer.files[0]);
    });
  }

  // --- what is shown ---

  show(news) {
    const state = { table: this.state && this.state.table, ...news }; // a table is told of once
    const moved = !this.state || this.state.stage !== state.stage || this.state.tables !== state.tables;
    this.state = state;
    if (state.stage === "fitting") this.watch(state, moved);
    else if (moved) this[{ empty: "start", table: "choose", done: "finish", failed: "fail" }[state.stage]](state);
  }

  start() { this.main.replaceChildren(this.picker("Drop a CSV or Parquet file here, or")); }

  picker(words) {
    const input = element("input", { type: "file", id: "file", accept: ".csv,.tsv,.txt,.parquet" });
    input.addEventListener("change", () => {
      if (input.files.length) this.upload(input.files[0]);
      input.value = ""; // so that the same file, mended, can be chosen again
    });
    return element("div", { class: "dropzone" }, [element("label", { for: "file" }, `${words} choose it: `), input]);
  }

  choose({ table }) {
    const rows = table.columns.map((column) => this.columnRow(column, table.target));
    const head = ["predict", "leave out", "column", "kind", "holds", "missing"].map((name) => element("th", { scope: "col" }, name));
    const preset = element("select", { id: "preset" }, [["fast", "fast: seconds"], ["default", "default: better, some 10 times longer"],
      ["best", "best: the longest"]].map(([value, text]) => element("option", { value }, text)));
    const family = element("select", { id: "family" }, FAMILIES_IN_WORDS.map(([value, text]) => element("option", { value }, text)));
    const start = element("button", { type: "button", class: "main" }, "Fit a model");
    start.addEventListener("click", () => this.begin(preset.value, family.value));
    this.fill(`${table.name}: ${table.n_rows} rows`,
      element("p", {}, "Tick the column to predict (the likeliest one is ticked); several are predicted jointly. Leave out what would not be known beforehand, "
        + "and what only numbers the rows."),
      element("div", { class: "scroll" }, element("table", { class: "columns" }, [
        element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows),
      ])),
      element("div", { class: "toolbar" }, [element("label", { for: "family" }, ["What it is ", family]),
        element("label", { for: "preset" }, ["How much to compute ", preset]), start]),
      this.picker("Another table? Drop it, or"),
    );
  }

  columnRow(column, target) {
    const tick = (name, checked, disabled) => element("input", {
      type: "checkbox", value: column.name, class: name, "aria-label": `${name} ${column.name}`, checked, disabled,
    });
    const holds = column.note ? element("span", { class: "message" }, column.note) : column.holds;
    const cells = [tick("predict", column.name === target, column.kind !== "number"), tick("leave-out", false, false),
      column.name, column.kind, holds, column.n_missing ? String(column.n_missing) : ""];
    return element("tr", {}, cells.map((cell, i) => element(...(i === 2 ? ["th", { scope: "row" }] : ["td", {}]), cell)));
  }

  begin(preset, family) {
    const ticked = (name) => [...this.main.querySelectorAll(`.${name}:checked`)].map((box) => box.value);
    const targets = ticked("predict"), drop = ticked("leave-out").filter((name) => !targets.includes(name));
    this.ask("fit", { body: JSON.stringify({ targets, drop, preset, family }) });
  }

  watch(state, moved) {
    if (moved) {
      const stop = element("button", { type: "button" }, "Stop and keep the best so far");
      stop.addEventListener("click", () => this.ask("stop"));
      this.parts = {
        told: element("p"), bar: element("progress", { max: "1", value: "0", "aria-label": "Share of the epochs" }),
        losses: element("figure", { class: "losses" }), densities: element("div", { class: "densities" }),
      };
      this.fill(`Learning what ${state.targets.join(" and ")} may be`,
        this.parts.told, this.parts.bar, element("div", { class: "toolbar" }, stop), this.parts.losses, this.parts.densities);
    }
    const done = state.train.length, planned = state.max_epochs || 0;
    this.parts.told.textContent = done ? `Epoch ${done} of at most ${planned}, ${leftText(state.seconds_left)}. ${state.sentence || ""}`
      : state.sentence || "";
    this.parts.bar.value = planned ? done / planned : 0;
    this.speak(this.parts.told.textContent);
    if (done > 1) this.parts.losses.innerHTML = lossChart(state) + "<figcaption>Loss on rows that are learned from (blue) and on others "
      + "(orange), which choose the best epoch; lower is better.</figcaption>";
    if (state.densities) this.drawDensities(state);
  }

  drawDensities({ densities, rows, ranges, targets }) {
    const charts = densities.rows.map((parameters, i) => {
      const line = densityOf(densities.model, withNumbers(parameters)).line(0), [low, high] = ranges[0];
      const points = line.spread.length ? curvePoints(line, low, high) : [], top = topOf([points]) * 1.05;
      const chart = new Chart(low, high, top, 170, { width: 300, bottom: 44 });
      chart.area(points.map(([y, p]) => [y, Math.min(p, top)]), "region");
      chart.curve(points.map(([y, p]) => [y, Math.min(p, top)]), "blue");
      line.pointed().forEach((atom) => chart.box(atom.location, atom.location, 0, atom.mass * top, "atom blue"));
      const outcome = rows[i].outcome[0];
      if (outcome !== null) chart.dot(outcome, 0, "dot");
      chart.axis(targets[0]);
      const features = Object.entries(rows[i].features).map(([name, value]) => `${name} ${value}`).join(", ");
      return `<figure>${chart.svg(`p(${targets[0]}) for a row held out`)}<figcaption>${escaped(features)}</figcaption></figure>`;
    });
    this.parts.densities.innerHTML = `<h3>What it predicts by now for rows held out; dots are what happened</h3>${charts.join("")}`;
  }

  finish({ summary }) {
    const link = (what, text) => element("a", { class: "button", href: `download/${what}`, download: "" }, text);
    const frame = element("iframe", { src: "report", title: "Report of the model" });
    const again = element("button", { type: "button" }, "Fit another column");
    again.addEventListener("click", () => this.choose(this.state));
    this.fill("Done",
      element("ul", {}, summary.slice(0, 3).map((sentence) => element("li", {}, sentence))),
      element("div", { class: "toolbar" }, [link("model", "Download the model"), link("report", "Download the report"),
        element("a", { class: "button", href: "report", target: "_blank", rel: "noopener" }, "Open the report in a tab of its own"), again]),
      frame,
      this.picker("Another table? Drop it, or"),
    );
  }

  // A new view: its heading gets the focus, so that nobody is lost.
  fill(heading, ...parts) {
    const title = element("h2", { tabindex: "-1" }, heading);
    this.main.replaceChildren(title, ...parts);
    title.focus();
  }

  // Say something to a screen reader, but not at every epoch.
  speak(words) {
    if (Date.now() - this.spokenAt < 10000) return;
    this.spokenAt = Date.now();
    this.spoken.textContent = words;
  }

  fail({ sentence, table }) {
    this.choose({ table });
    this.message.textContent = sentence;
  }
}

const FAMILIES_IN_WORDS = [["normal", "any number"], ["log_normal", "an amount: positive"], ["negative_binomial", "a count: 0, 1, 2 ..."],
  ["beta", "a share: between 0 and 1"], ["student_t", "any number, with outliers"], ["von_mises", "an angle in radians"]];

function leftText(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "time left unknown";
  return seconds < 90 ? `about ${Math.round(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

// Numbers that JSON could not hold are far away.
function withNumbers(parameters) {
  return Object.fromEntries(Object.entries(parameters).map(([name, values]) => [name, values.map((x) => (x === null ? -Infinity : x))]));
}

function lossChart({ train, validation, max_epochs: planned }) {
  const known = [...train, ...validation].filter((x) => x !== null).sort((a, b) => a - b);
  const low = known[0], high = known[Math.floor(0.98 * (known.length - 1))], room = 0.05 * (high - low) || 1;
  const chart = new Chart(1, Math.max(planned, 2), high - low + 2 * room, 170, { bottom: 44 });
  [[train, "blue"], [validation, "orange"]].forEach(([losses, style]) => {
    const points = losses.map((loss, i) => [i + 1, loss]).filter(([, loss]) => loss !== null);
    chart.curve(points.map(([epoch, loss]) => [epoch, Math.min(loss, high + room) - low + room]), style);
  });
  chart.axis("epoch");
  const last = (losses) => numberText(losses[losses.length - 1] ?? NaN, room / 5);
  return chart.svg(`Losses so far: ${last(train)} on rows that are learned from, ${last(validation)} on others`);
}

window.manymodes.explorer = new Explorer(document.getElementById("explorer"));
