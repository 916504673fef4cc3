"use strict";

// Draws the figures that the server describes, asks whether a run has grown, and lets blocks, runs and steps be chosen.
(function () {
  const ASK_MS = 500;
  const PLAY_MS = 450;
  // Behind this long without the next picture the play goes on: a request may have been dropped.
  const PATIENCE_MS = 4000;
  const SETTINGS = { displayModeBar: false, responsive: true, displaylogo: false, scrollZoom: false };
  const MARKS = { "run-page": "mark", "compare-page": "compare-mark", "list-page": "list-mark" };

  const figures = {};
  const opened = {};
  const state = { mark: null, isAsking: false, isPlaying: false, waitsSince: 0, picked: "" };

  function set(id, props) {
    window.dash_clientside.set_props(id, props);
  }

  function byId(id) {
    return document.getElementById(id);
  }

  function themed(layout, width) {
    const style = getComputedStyle(document.documentElement);
    const [text, grid, ground] = ["--text", "--line", "--card"].map((name) => style.getPropertyValue(name).trim());
    const copy = JSON.parse(JSON.stringify(layout));
    copy.font = Object.assign({}, copy.font, { color: text });
    copy.hoverlabel = { bgcolor: ground, font: { color: text }, bordercolor: grid };
    copy.uirevision = "kept";
    const legend = copy.meta && copy.meta.legend;
    if (legend) {
      const columns = Math.max(1, Math.floor((width - 90) / legend.width));
      copy.height = legend.plot + legend.row * Math.ceil(legend.count / columns);
    }
    // Dragging on a touch screen scrolls the page instead of zooming a figure.
    copy.dragmode = window.matchMedia("(pointer: coarse)").matches ? false : "zoom";
    for (const name of Object.keys(copy)) {
      if (/^[xy]axis/.test(name)) copy[name].gridcolor = grid;
    }
    for (const shape of copy.shapes || []) {
      if (shape.label) shape.label.font = Object.assign({}, shape.label.font, { color: text });
    }
    return copy;
  }

  let library = null;

  // plotly.js is large: the page's words are there before it is asked for, and a page without figures does without.
  function loaded() {
    library ||= new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = document.querySelector("meta[name=figures]").content;
      script.addEventListener("load", resolve);
      document.head.append(script);
    });
    return library;
  }

  async function drawNow(name) {
    await loaded();
    const place = byId(name);
    const figure = figures[name];
    if (!place || !figure || !figure.isDue) return;
    figure.isDue = false;
    await window.Plotly.react(place, figure.parts.data, themed(figure.parts.layout, place.clientWidth), SETTINGS);
    place.dataset.drawn = String(Number(place.dataset.drawn || 0) + 1);
  }

  // What is far below the window is drawn when it comes near.
  const watcher = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => near(entry.target)),
    { rootMargin: "500px" },
  );

  function near(place) {
    place.dataset.near = "";
    drawNow(place.id);
  }

  function show(name, figure) {
    const place = byId(name);
    if (!place) return;
    place.closest("section").toggleAttribute("data-ready", Boolean(figure));
    const said = byId(name + "-said");
    if (said) said.textContent = figure ? figure.said : "";
    if (!figure) return;
    figures[name] = Object.assign({ isDue: true }, figure);
    place.setAttribute("aria-label", figure.words);
    place.style.minHeight = (figure.parts.layout.height || 120) + "px";
    // Watching begins anew, so that a place that is near already is told of.
    watcher.unobserve(place);
    watcher.observe(place);
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.dashboard = {
    draw(figure) {
      const name = window.dash_clientside.callback_context.inputs_list[0].id.replace(/-parts$/, "");
      show(name, figure);
      if (name === "gain_ladder") state.waitsSince = 0;
      return Date.now();
    },
    entitle(title) {
      if (title) document.title = title + " · gradiometer";
      return Date.now();
    },
  };

  function keysHere() {
    const words = location.pathname.split("/").filter(Boolean);
    return words.length ? words.slice(1).join("/") : "list";
  }

  function notice(words) {
    const place = byId("notice");
    if (place && place.textContent !== words) set("notice", { children: words });
  }

  async function ask() {
    const page = Object.keys(MARKS).find(byId);
    if (!page || document.hidden || state.isAsking) return;
    state.isAsking = true;
    try {
      const answer = await fetch("/marks/" + keysHere(), { credentials: "same-origin" });
      if (!answer.ok) throw new Error(answer.statusText);
      const said = await answer.json();
      heard(page, said);
      notice(said.mark ? "" : "This run is not there any more: its file was deleted or moved.");
    } catch (fault) {
      notice("The dashboard does not answer: it has ended, as it seems. Open it again with: gradiometer live");
    }
    state.isAsking = false;
  }

  function heard(page, answer) {
    if (answer.status !== undefined && byId("status")) set("status", { children: answer.status });
    const known = state.mark ?? byId(page).dataset.mark;
    if (answer.mark) state.mark = answer.mark;
    if (!answer.mark || answer.mark === known) return;
    set(MARKS[page], { data: answer.mark });
  }

  function toggle(button) {
    opened[button.dataset.branch] = button.getAttribute("aria-expanded") !== "true";
    set("opened", { data: Object.assign({}, opened) });
  }

  function choose(button) {
    for (const one of document.querySelectorAll("button[data-quantity]")) {
      one.setAttribute("aria-pressed", String(one === button));
    }
    set("quantity", { data: button.dataset.quantity });
  }

  function pick(key) {
    if (state.picked && state.picked !== key) {
      location.assign("/compare/" + state.picked + "/" + key);
      return;
    }
    state.picked = state.picked === key ? "" : key;
    set("picked", { data: state.picked });
  }

  function playing(isPlaying) {
    state.isPlaying = isPlaying;
    state.waitsSince = 0;
    set("play", { children: isPlaying ? "Pause" : "Play" });
  }

  function play() {
    const slider = byId("moment");
    if (!state.isPlaying && Number(slider.value) >= Number(slider.max)) set("moment", { value: 0 });
    playing(!state.isPlaying);
  }

  function playOn() {
    const slider = byId("moment");
    if (!state.isPlaying || !slider) return;
    if (state.waitsSince && Date.now() - state.waitsSince < PATIENCE_MS) return;
    if (Number(slider.value) >= Number(slider.max)) {
      playing(false);
      return;
    }
    state.waitsSince = Date.now();
    set("moment", { value: Number(slider.value) + 1 });
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.branch !== undefined) toggle(button);
    else if (button.dataset.quantity) choose(button);
    else if (button.dataset.key) pick(button.dataset.key);
    else if (button.id === "play") play();
    else if (button.id === "newest") set("moment", { value: Number(byId("moment").max) });
  });

  // Dash makes tables anew when they change: the control that had the focus hands it to the one in its place.
  const same = (one) => one.dataset.branch || one.dataset.key || one.getAttribute("href");
  let focused = null;

  document.addEventListener("focusin", (event) => {
    focused = same(event.target) ? event.target : null;
  });
  document.addEventListener("pointerdown", () => {
    focused = null;
  });

  function refocus() {
    if (!focused || focused.isConnected || document.activeElement !== document.body) return;
    const name = same(focused);
    const heir = [...document.querySelectorAll(focused.tagName)].find((one) => same(one) === name);
    if (heir) heir.focus({ preventScroll: true });
  }

  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const name of Object.keys(figures)) {
      figures[name].isDue = true;
      if (byId(name) && "near" in byId(name).dataset) drawNow(name);
    }
  });

  setInterval(ask, ASK_MS);
  setInterval(playOn, PLAY_MS);
  new MutationObserver(() => {
    refocus();
    // The first question does not wait for a second: it is asked as soon as Dash has made the page.
    if (state.mark === null && Object.keys(MARKS).some(byId)) ask();
  }).observe(document, { childList: true, subtree: true });
})();
