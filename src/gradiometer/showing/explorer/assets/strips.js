"use strict";

// Draws choices as radio buttons, and units and weights as rows of cells that can be picked by pointer and keyboard; and
// paces a training: the page asks for the next answer when it has drawn the last one.
(function () {
  const PAUSE_MS = 60;
  // Behind this long without the details of the last answer the page asks on: a request may have been dropped.
  const PATIENCE_MS = 2000;
  const MANY = 40;
  const MOST_FAULTS = 3;

  function element(tag, className, parent) {
    const made = document.createElement(tag);
    made.className = className;
    parent.append(made);
    return made;
  }

  function written(value) {
    if (value === null || !Number.isFinite(value)) return "not finite";
    return String(value).replace("-", "−");
  }

  function greatest(cells, column) {
    return cells.reduce((most, cell) => Math.max(most, Math.abs(cell[column] || 0)), 0);
  }

  function pick(place) {
    window.dash_clientside.set_props("picked", { data: place });
  }

  // Rows of cells are listboxes with one tab stop each; arrow keys move within, Enter and the space bar pick.
  function moved(cells, from, key) {
    const top = cells[0].offsetTop;
    const wrap = cells.findIndex((cell) => cell.offsetTop !== top);
    const columns = wrap < 0 ? cells.length : wrap;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    if (key === "Home") return 0;
    if (key === "End") return cells.length - 1;
    return key in steps ? Math.min(Math.max(from + steps[key], 0), cells.length - 1) : from;
  }

  function onKey(event) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const cells = Array.from(cell.parentElement.children);
    const from = cells.indexOf(cell);
    const to = moved(cells, from, event.key);
    if (to !== from) {
      cell.tabIndex = -1;
      cells[to].tabIndex = 0;
      cells[to].focus();
    }
    if (event.key === "Enter" || event.key === " ") cell.click();
    if (to !== from || event.key === "Enter" || event.key === " " || event.key.startsWith("Arrow")) {
      event.preventDefault();
    }
  }

  function onClick(event) {
    const found = event.target.closest("[data-layer]");
    if (!found) return;
    const { layer, unit, source } = found.dataset;
    pick({ layer: Number(layer), unit: Number(unit), source: source ? Number(source) : null });
    if (found.classList.contains("pick")) {
      const place = source ? "weight-section" : "unit-section";
      const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      document.getElementById(place).scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    }
  }

  // A strip that has as many cells as before is changed in place, so that focus and pointer stay where they are.
  function stripIn(place, rank, count, columns) {
    let strip = place.children[rank];
    if (strip && Number(strip.dataset.count) === count && strip.dataset.columns === String(columns)) return strip;
    const made = document.createElement("div");
    made.className = "strip";
    made.dataset.count = count;
    made.dataset.columns = columns;
    element("p", "", made);
    const cells = element("div", "cells", made);
    cells.setAttribute("role", "listbox");
    cells.addEventListener("keydown", onKey);
    if (columns) {
      cells.classList.add("grid");
      cells.style.gridTemplateColumns = `repeat(${columns}, auto)`;
      cells.style.setProperty("--cell", columns > 10 ? "11px" : "26px");
    } else if (count > MANY) {
      cells.classList.add("many");
    }
    for (let cell = 0; cell < count; cell += 1) {
      const one = element("div", "cell", cells);
      one.setAttribute("role", "option");
      one.tabIndex = cell === 0 ? 0 : -1;
      element("i", "shade", one);
      element("i", "arrow", one);
      element("span", "label", one);
    }
    if (strip) strip.replaceWith(made);
    else place.append(made);
    return made;
  }

  function fill(strip, title, note, cells, describe) {
    const heading = strip.firstElementChild;
    heading.textContent = title;
    element("span", "", heading).textContent = note;
    const list = strip.lastElementChild;
    list.setAttribute("aria-label", title);
    const scales = [greatest(cells, 0), greatest(cells, 1)];
    cells.forEach(([value, wanted], rank) => {
      const cell = list.children[rank];
      const [shade, arrow, label] = cell.children;
      const words = describe(rank, value, wanted);
      cell.setAttribute("aria-label", words.label);
      cell.title = words.label;
      label.textContent = words.shown;
      Object.assign(cell.dataset, words.place);
      shade.className = value < 0 ? "shade minus" : "shade";
      shade.style.opacity = scales[0] ? Math.abs(value || 0) / scales[0] : 0;
      arrow.className = wanted < 0 ? "arrow down" : "arrow";
      arrow.style.setProperty("--size", scales[1] ? Math.sqrt(Math.abs(wanted || 0) / scales[1]) : 0);
    });
  }

  function drawUnits(place, scene) {
    const last = scene.layers.length - 1;
    scene.layers.forEach((layer, rank) => {
      const strip = stripIn(place, rank, layer.cells.length, 0);
      fill(strip, layer.title, layer.note, layer.cells, (unit, value, wanted) => ({
        label: `${layer.title} ${rank === last ? "" : "unit "}${unit}: ${written(value)}, wanted ${written(wanted)}`,
        shown: rank === last ? String(unit) : "",
        place: { layer: layer.layer, unit, source: "" },
      }));
    });
    while (place.children.length > scene.layers.length) place.lastElementChild.remove();
  }

  function drawWeights(place, weights) {
    const strip = stripIn(place, 0, weights.cells.length, weights.columns);
    const note = "blue: above zero, orange: below; pick one to take its gradient apart";
    fill(strip, weights.title, note, weights.cells, (source, value, wanted) => ({
      label: `weight from ${weights.names[source]}: ${written(value)}, wanted ${written(wanted)}`,
      shown: "",
      place: { layer: weights.layer, unit: weights.unit, source },
    }));
  }

  function mark(place, isMarked) {
    for (const cell of place.querySelectorAll(".cell")) {
      cell.setAttribute("aria-selected", String(isMarked(cell.dataset)));
    }
  }

  function light(place, lit) {
    for (const cell of place.querySelectorAll(".cell")) {
      const layer = Number(cell.dataset.layer);
      const unit = Number(cell.dataset.unit);
      const isRead = layer === lit.read && lit.units.includes(unit);
      cell.classList.toggle("lit", isRead || (layer === lit.layer && unit === lit.unit));
    }
  }

  // Groups of native radio buttons; what is chosen in any of them is one store.
  function offer(chosen) {
    for (const group of document.querySelectorAll("[data-choices]")) {
      for (const [value, words] of group.children.length ? [] : JSON.parse(group.dataset.choices)) {
        const label = element("label", "", group);
        const input = element("input", "", label);
        input.type = "radio";
        input.name = group.id;
        input.checked = chosen[group.id] === value;
        input.addEventListener("change", () => {
          chosen = Object.assign({}, chosen, { [group.id]: value });
          window.dash_clientside.set_props("choices", { data: chosen });
        });
        label.append(words);
      }
    }
    return Date.now();
  }

  const place = (name) => document.getElementById(name);
  let last = {};

  // Dash hands over a store when it changes; what was marked before is marked again on cells that are new.
  function again(change) {
    last = Object.assign({}, last, change);
    const { picked, lit } = last;
    if (picked) {
      const isUnit = (one) => Number(one.layer) === picked.layer && Number(one.unit) === picked.unit;
      mark(place("unit-strips-place"), isUnit);
      mark(place("walk-strips-place"), isUnit);
      mark(place("weight-strip-place"), (one) => Number(one.source) === picked.source);
    }
    if (lit) light(place("walk-strips-place"), lit);
    return Date.now();
  }

  function units(scene) {
    if (!scene) return 0;
    drawUnits(place("unit-strips-place"), scene);
    drawUnits(place("walk-strips-place"), scene);
    return again({});
  }

  function weights(incoming) {
    if (!incoming) return 0;
    drawWeights(place("weight-strip-place"), incoming);
    return again({});
  }

  const picked = (chosen) => again({ picked: chosen });
  const lit = (used) => again({ lit: used });

  let waiting = null;

  function pace(state, shown, settled) {
    clearTimeout(waiting);
    const isOnItsWay = state.faults > 0 || state.is_playing || state.step < state.target;
    const isGoingOn = isOnItsWay && state.faults < MOST_FAULTS;
    document.body.dataset.busy = String(isGoingOn || shown !== settled);
    if (isGoingOn) {
      const next = () => window.dash_clientside.set_props("tick", { data: Date.now() });
      waiting = setTimeout(next, shown === settled ? PAUSE_MS : PATIENCE_MS);
    }
    return Date.now();
  }

  document.addEventListener("click", onClick);
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    explorer: { offer, units, weights, picked, lit, pace },
  });
})();
