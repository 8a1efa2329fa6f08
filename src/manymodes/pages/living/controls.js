// One control for every feature: a slider beside a number, a menu of categories, a date. Each has a label, works with the
// keyboard, and says what it does to a screen reader.

const OTHER = "\u0000other";

function element(tag, attributes = {}, children = []) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && typeof value !== "string") made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...[].concat(children));
  return made;
}

const isoOf = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16);
const secondsOf = (iso) => Date.parse(`${iso}Z`) / 1000;

// The row { name: value } that a page starts from.
function firstRow(features) {
  const value = (feature) => {
    if (feature.kind === "category") return feature.levels[0];
    if (feature.typical === null || feature.typical === undefined) return feature.has_missing ? null : 0;
    return feature.is_whole ? Math.round(feature.typical) : feature.typical;
  };
  return Object.fromEntries(features.map((feature) => [feature.name, value(feature)]));
}

class Controls {
  // form: where they go; features: what the model says of them; changed: called with a name and a value.
  constructor(form, features, changed) {
    this.changed = changed;
    this.setters = new Map();
    const used = features.filter((feature) => feature.is_used), many = used.slice(MOST_OPEN);
    for (const feature of used.slice(0, MOST_OPEN)) form.append(this.made(feature));
    if (many.length) {
      form.append(element("details", {}, [
        element("summary", {}, `${many.length} features that matter less`), ...many.map((feature) => this.made(feature)),
      ]));
    }
  }

  show(row) { for (const [name, set] of this.setters) set(row[name]); }

  made(feature) {
    const id = `feature-${this.setters.size}`;
    const parts = feature.kind === "category" ? [this.menu(feature, id)] : this.numbers(feature, id);
    return element("div", { class: "control" }, [element("label", { for: id }, feature.name), ...parts]);
  }

  menu(feature, id) {
    const menu = element("select", { id }), values = [...feature.levels, OTHER, ...(feature.has_missing ? [null] : [])];
    values.forEach((value, i) => {
      const text = value === OTHER ? "another, not in the fit" : value === null ? "missing" : String(value);
      menu.append(element("option", { value: String(i) }, text));
    });
    menu.addEventListener("change", () => this.changed(feature.name, values[Number(menu.value)]));
    this.setters.set(feature.name, (value) => {
      const place = values.indexOf(value);
      menu.value = String(place < 0 ? feature.levels.length : place);
    });
    return menu;
  }

  numbers(feature, id) {
    const isTime = feature.kind === "time", low = feature.low ?? -1, high = feature.high ?? 1;
    const step = feature.is_whole ? 1 : isTime ? 60 : niceStep(low, high);
    const slider = element("input", {
      type: "range", id, min: String(low), max: String(high), step: feature.is_whole ? "1" : "any",
    });
    const box = element("input", { type: isTime ? "datetime-local" : "number", "aria-label": `${feature.name}, exactly` });
    if (!isTime) box.step = "any";
    const show = (value) => {
      const known = value !== null && !Number.isNaN(value);
      slider.disabled = box.disabled = !known;
      if (known) { slider.value = String(value); box.value = shown(value); }
      tell();
    };
    const shown = (value) => (isTime ? isoOf(value) : String(Number(value.toPrecision(15))));
    const tell = () => slider.setAttribute("aria-valuetext", box.value.replace("T", " "));
    slider.addEventListener("input", () => {
      const value = feature.is_whole ? Math.round(Number(slider.value)) : rounded10(Number(slider.value), step);
      box.value = shown(value);
      tell();
      this.changed(feature.name, value);
    });
    box.addEventListener("change", () => {
      const value = isTime ? secondsOf(box.value) : Number(box.value);
      if (box.value === "" || !(Math.abs(value) <= LARGEST)) { tell(); box.value = shown(Number(slider.value)); return; }
      slider.value = String(value);
      tell();
      this.changed(feature.name, value);
    });
    const parts = [slider, box];
    let missing = null;
    if (feature.has_missing) {
      missing = element("input", { type: "checkbox", id: `${id}-missing` });
      missing.addEventListener("change", () => {
        const value = missing.checked ? null : Number(slider.value);
        show(value);
        this.changed(feature.name, value);
      });
      parts.push(element("label", { for: `${id}-missing`, class: "missing" }, [missing, " missing"]));
    }
    this.setters.set(feature.name, (value) => { if (missing) missing.checked = value === null; show(value); });
    return parts;
  }
}

const MOST_OPEN = 12, LARGEST = 1e100; // of numbers that are typed

function niceStep(low, high) { return high > low ? 10 ** Math.floor(Math.log10((high - low) / 500)) : 1; }

function rounded10(value, step) { return Number((Math.round(value / step) * step).toPrecision(12)); }
