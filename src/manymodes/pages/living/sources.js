// Where densities come from: the network in the page, or slices that were worked out when the page was made.

const MAP_COLUMNS = 64;

class LiveSource {
  constructor(page) {
    this.page = page;
    this.network = new Network(page.network, unpacked(page.tensors, bytesOf(page.bytes)));
    this.features = page.features;
  }

  firstRow() { return this.page.examples.length ? { ...this.page.examples[0].row } : firstRow(this.features); }

  exampleRow(i) { return { ...this.page.examples[i].row }; }

  nExamples() { return this.page.examples.length; }

  density(row) { return densityOf(this.page, this.network.parameters(encoded(this.page.encoder, row))); }

  controls(form, changed) { return new Controls(form, this.features, changed); }

  mapFeatures() { return this.features.filter((feature) => feature.is_used).map((feature) => feature.name); }

  // What to mind where a row is beyond what the model learned from; empty where it is not.
  beyond(row) {
    const far = this.features.filter(({ is_used: isUsed, name, kind, low, high, levels }) => isUsed && row[name] !== null
      && (kind === "category" ? !levels.includes(row[name]) : low !== null && (row[name] < low || row[name] > high)));
    if (!far.length) return "";
    return `Mind: ${far.map(({ name }) => name).join(" and ")} ${far.length > 1 ? "are" : "is"} beyond all that the model learned from; this is a guess.`;
  }

  // The densities along one feature, the others as in a row: { values, densities, texts }.
  along(row, name) {
    const feature = this.features.find((each) => each.name === name), isMenu = feature.kind === "category";
    const low = feature.low ?? -1, high = feature.high ?? 1, n = MAP_COLUMNS;
    const values = isMenu ? feature.levels : Array.from({ length: n }, (_, i) => low + (high - low) * i / (n - 1));
    const densities = values.map((value) => this.density({ ...row, [name]: value }));
    const text = feature.kind === "time" ? (v) => isoOf(v).slice(0, 10) : (v) => numberText(v, (high - low) / 500);
    return { values, densities, texts: isMenu ? values.map(String) : values.map(text), isMenu };
  }

  place(row, name, along) {
    const value = row[name];
    if (along.isMenu) return along.values.indexOf(value);
    return value === null ? -1 : (value - along.values[0]) / (along.values[along.values.length - 1] - along.values[0]);
  }
}

// Slices: for some rows, every feature is moved by itself along a few values.
class SlicedSource {
  constructor(page) {
    this.page = page;
    this.tensors = unpacked(page.tensors, bytesOf(page.bytes));
  }

  firstRow() { return this.exampleRow(0); }

  exampleRow(base) { return { base, feature: this.page.slices[0].name, place: this.page.slices[0].start[base] }; }

  nExamples() { return this.page.bases.length; }

  density({ base, feature, place }) {
    const slice = this.page.slices.findIndex((each) => each.name === feature), parameters = {};
    for (const name of this.page.slice_parameters) {
      const { data } = this.tensors[`${base}.${slice}.${name}`], width = data.length / this.page.slices[slice].values.length;
      parameters[name] = data.subarray(place * width, (place + 1) * width);
    }
    return densityOf(this.page, parameters);
  }

  controls(form, changed) { return new SliceControls(form, this.page, changed); }

  mapFeatures() { return this.page.slices.map((slice) => slice.name); }

  beyond() { return ""; }

  along(row, name) {
    const { values, texts, is_menu: isMenu } = this.page.slices.find((each) => each.name === name);
    return { values, texts, isMenu, densities: values.map((_, place) => this.density({ base: row.base, feature: name, place })) };
  }

  place(row, name, along) {
    if (row.feature !== name) return -1;
    return along.isMenu ? row.place : row.place / (along.values.length - 1);
  }
}

class SliceControls {
  constructor(form, page, changed) {
    this.page = page;
    this.row = null;
    const menu = (label, names, chosen) => {
      const made = element("select", { id: `slice-${label}` }, names.map((name, i) => element("option", { value: String(i) }, name)));
      made.addEventListener("change", () => chosen(Number(made.value)));
      form.append(element("div", { class: "control" }, [element("label", { for: made.id }, label), made]));
      return made;
    };
    const move = (change) => { this.row = { ...this.row, ...change }; this.show(this.row); changed(this.row); };
    this.base = menu("row", page.bases, (base) => move({ base, place: this.slice().start[base] }));
    this.feature = menu("feature", page.slices.map((slice) => slice.name), (i) => {
      move({ feature: page.slices[i].name, place: page.slices[i].start[this.row.base] });
    });
    this.slider = element("input", { type: "range", id: "slice-value", min: "0", step: "1" });
    this.text = element("output", { for: "slice-value" });
    this.slider.addEventListener("input", () => move({ place: Number(this.slider.value) }));
    form.append(element("div", { class: "control" }, [element("label", { for: "slice-value" }, "value"), this.slider, this.text]));
  }

  slice() { return this.page.slices.find((each) => each.name === this.row.feature); }

  show(row) {
    this.row = row;
    const slice = this.slice();
    this.base.value = String(row.base);
    this.feature.value = String(this.page.slices.indexOf(slice));
    this.slider.max = String(slice.values.length - 1);
    this.slider.value = String(row.place);
    this.slider.setAttribute("aria-valuetext", slice.texts[row.place]);
    this.text.textContent = slice.texts[row.place];
  }
}
