"use strict";
// The curves that a reader chooses: runs, measure, step, layer and scale. uPlot draws them; their text is set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const get = (id) => document.getElementById(id);
  const profiled = data.runs.filter((run) => run.layers.length > 0);
  if (data.runs.length === 0) { get("explore").remove(); return; }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const LIGHT = ["#0072B2", "#D55E00", "#00785A", "#A8447F", "#8A6100", "#2A83B8", "#7A5195", "#222222"];
  const DARK = ["#56B4E9", "#FF9F5A", "#4CD3A5", "#E79AC4", "#F0C04A", "#9AD0F5", "#BFA0E0", "#ECECEC"];
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
  const MOST_CHOSEN = 8; // runs that are drawn before the reader chooses
  const LEAST_DECADES = { "by-layer": 4, "by-step": 1, "by-course": 1 };
  const HEIGHT = 250;
  const WHOLE = [0, 1, 2, 3, 4, 5].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power)); // between ticks of steps and layers
  const state = { chosen: new Set(data.runs.slice(0, MOST_CHOSEN)), step: 0, layer: 0, steps: [0], layers: [0] };
  const plots = {};

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (run) => (dark.matches ? DARK : LIGHT)[data.runs.indexOf(run) % LIGHT.length];
  const dash = (run) => DASHES[Math.floor(data.runs.indexOf(run) / LIGHT.length) % DASHES.length];
  const isLog = () => get("scale").value === "log";
  const withProfile = (name) => [...state.chosen].filter((run) => run.profiles[name]);
  const withCourse = (name) => [...state.chosen].filter((run) => run.courses[name]);

  function element(tag, text, parent, attributes = {}) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent.append(made);
    return made;
  }

  // ---- controls

  function fill(select, names) {
    for (const [value, text] of names) element("option", text, select, { value });
    select.closest("label").hidden = names.length < 1;
  }
  const used = (table, key) => Object.entries(table).filter(([name]) => data.runs.some((run) => run[key][name]));

  fill(get("profile"), used(data.profiles, "profiles"));
  fill(get("course"), used(data.courses, "courses"));
  fill(get("map-run"), profiled.map((run) => [data.runs.indexOf(run), run.label]));
  get("map-run").hidden = profiled.length < 2;
  get("map-run").closest("figure").hidden = profiled.length === 0;
  for (const id of ["by-layer", "by-step"]) get(id).closest("figure").hidden = profiled.length === 0;
  get("by-course").closest("figure").hidden = get("course").options.length === 0;

  get("choose-runs").hidden = data.runs.length === 1;
  data.runs.forEach((run) => {
    const label = element("label", "", get("choose-runs"));
    const box = element("input", "", label, { type: "checkbox" });
    box.checked = state.chosen.has(run);
    const swatch = element("span", "", label, { class: "swatch" });
    swatch.style.borderColor = colour(run);
    swatch.style.borderTopStyle = dash(run).length ? "dashed" : "solid";
    label.append(run.label);
    box.addEventListener("change", () => { if (box.checked) state.chosen.add(run); else state.chosen.delete(run); redraw(); });
  });
  for (const id of ["profile", "course", "scale", "map-run"]) get(id).addEventListener("change", redraw);
  get("controls").addEventListener("submit", (event) => event.preventDefault());
  get("step").addEventListener("input", () => { state.step = state.steps[get("step").value]; move(); });
  get("layer").addEventListener("input", () => { state.layer = state.layers[get("layer").value]; move(); });

  // the steps and layers that the sliders go through: those of the chosen runs
  function setSliders() {
    const union = (key) => [...new Set([...state.chosen].flatMap((run) => run[key]))].sort((a, b) => a - b);
    for (const [id, key] of [["step", "steps"], ["layer", "layers"]]) {
      state[key] = union(key);
      if (state[key].length === 0) state[key] = [0];
      const place = numbers.nearest(state[key], state[id]);
      state[id] = state[key][place];
      [get(id).max, get(id).value] = [state[key].length - 1, place];
      get(id).closest("label").hidden = state[key].length < 2;
    }
  }

  // ---- curves

  // [x, codes] as what is drawn: the exponent or the value; what is no number, or no power of ten, is a gap
  function drawn(codes, ofLog) {
    return codes.map((code) => {
      if (!numbers.isNumber(code)) return null;
      const log = ofLog ? code / 1000 : Math.log10(code);
      const value = isLog() ? log : ofLog ? 10 ** log : code;
      return Number.isFinite(value) ? value : null;
    });
  }

  // lines: {run, x, codes}; `extent`: codes of all positions of the sliders, so that the axis stays
  function draw(id, title, xlabel, lines, ofLog, extent) {
    get(`${id}-title`).textContent = title;
    const joined = lines.length ? uPlot.join(lines.map((line) => [line.x, drawn(line.codes, ofLog)])) : [[0]];
    const values = drawn(extent.flat(), ofLog).filter((value) => value !== null);
    const range = limits(values.reduce((a, b) => Math.min(a, b), Infinity), values.reduce((a, b) => Math.max(a, b), -Infinity), id);
    const codes = lines.map((line) => new Map(line.x.map((x, place) => [x, line.codes[place]])));
    const key = JSON.stringify([lines.map((line) => data.runs.indexOf(line.run)), isLog(), ofLog, range, dark.matches]);
    const kept = plots[id];
    if (kept && kept.key === key) {
      kept.codes = codes;
      kept.plot.setData(joined);
    } else {
      if (kept) kept.plot.destroy();
      const made = plots[id] = { key, codes };
      made.plot = new uPlot(options(id, xlabel, lines, range, made, ofLog), joined, get(id));
    }
    get(`${id}-note`).textContent = lines.map((line) => unusual(line, xlabel, ofLog)).filter(Boolean).join("; ");
  }

  function limits(low, high, id) {
    if (low > high) return [0, 1];
    const half = Math.max(1.1 * (high - low), isLog() ? LEAST_DECADES[id] : 1e-300) / 2;
    const middle = (low + high) / 2;
    return [middle - half, middle + half];
  }

  function options(id, xlabel, lines, range, made, ofLog) {
    const ink = style("--ink");
    const axis = { stroke: ink, grid: { stroke: style("--grid"), width: 1 }, ticks: { stroke: style("--grid"), width: 1 } };
    const powers = (_, ticks) => ticks.map((tick) => (tick === null ? "" : isLog() ? numbers.power(tick) : Number(tick.toPrecision(3)).toString()));
    const series = lines.map((line, place) => ({
      label: line.run.short, stroke: colour(line.run), dash: dash(line.run), width: 2, points: { show: line.x.length < 45 },
      value: (_, _value, _series, index) => (index === null ? "" : numbers.text(made.codes[place].get(made.plot.data[0][index]), ofLog)),
    }));
    return {
      width: Math.max(240, get(id).clientWidth), height: HEIGHT, series: [{ label: xlabel }, ...series],
      scales: { x: { time: false }, y: { range } },
      axes: [{ ...axis, label: xlabel, labelSize: 18, size: 34, incrs: WHOLE }, { ...axis, size: 62, values: powers, ...(isLog() ? { splits: (_, _axis, low, high) => decades(low, high) } : {}) }],
    };
  }

  // exponents of an axis of powers of ten: whole ones, or those of 1, 2 and 5 where there are few decades
  function decades(low, high) {
    const every = Math.max(1, Math.ceil((high - low) / 7));
    const within = (exponent) => exponent >= low && exponent <= high;
    const first = every * Math.floor(low / every);
    const whole = Array.from({ length: Math.ceil((high - first) / every) + 1 }, (_, k) => first + k * every);
    if (high - low >= 2.5) return whole.filter(within);
    return whole.flatMap((exponent) => [0, Math.log10(2), Math.log10(5)].map((part) => exponent + part)).filter(within);
  }

  // where a line has no number to draw, in words: nothing measured is left out
  function unusual(line, xlabel, ofLog) {
    const places = { z: [], i: [], n: [], none: [] };
    line.codes.forEach((code, place) => {
      if (code in numbers.WORDS) places[code].push(line.x[place]);
      else if (numbers.isNumber(code) && drawn([code], ofLog)[0] === null) places.none.push(line.x[place]);
    });
    const texts = Object.entries(places).filter(([, at]) => at.length > 0).map(([letter, at]) => {
      const what = numbers.WORDS[letter] || (isLog() ? "not above zero" : "beyond the range of floats");
      return `${what} at ${xlabel} ${numbers.ranges(at)}`;
    });
    return texts.length ? `${line.run.short}: ${texts.join(", ")}` : "";
  }

  // ---- what depends on the step and the layer

  function move() {
    const [step, layer, name] = [state.step, state.layer, get("profile").value];
    get("step-text").textContent = `${step}`;
    const first = withProfile(name)[0];
    const place = first ? numbers.nearest(first.layers, layer) : 0;
    get("layer-text").textContent = `${layer}${first && first.names[place] ? ` (${first.names[place]})` : ""}`;
    if (name) {
      const runs = withProfile(name);
      const text = data.profiles[name];
      const extent = runs.map((run) => run.profiles[name].flat());
      draw("by-layer", `${text} over the layers, at step ${step}`, "layer", runs.map((run) => (
        { run, x: run.layers, codes: run.profiles[name][numbers.nearest(run.steps, step)] })), true, extent);
      draw("by-step", `${text} over the steps, at layer ${layer}`, "step", runs.map((run) => {
        const at = numbers.nearest(run.layers, layer);
        return { run, x: run.steps, codes: run.profiles[name].map((row) => row[at]) };
      }), true, runs.map((run) => run.profiles[name].flatMap((row) => [row[numbers.nearest(run.layers, layer)]])));
      drawMap();
    }
    readout();
  }

  function readout() {
    const box = get("readout");
    box.replaceChildren();
    const names = Object.keys(data.profiles).filter((name) => withProfile(name).length);
    if (names.length === 0) return;
    const table = element("table", "", element("div", "", box, { class: "wide", tabindex: "0", role: "region", "aria-label": "Values" }));
    const head = element("tr", "", element("thead", "", table));
    for (const text of ["run", "step", "layer", ...names.map((name) => data.profiles[name])]) element("th", text, head, { scope: "col" });
    const body = element("tbody", "", table);
    for (const run of [...state.chosen].filter((entry) => entry.layers.length)) {
      const [step, layer] = [numbers.nearest(run.steps, state.step), numbers.nearest(run.layers, state.layer)];
      const row = element("tr", "", body);
      element("th", run.label, row, { scope: "row" });
      element("td", `${run.steps[step]}`, row);
      element("td", `${run.layers[layer]} ${run.names[layer]}`, row);
      for (const name of names) element("td", run.profiles[name] ? numbers.text(run.profiles[name][step][layer], true) : "not measured", row);
    }
  }

  // ---- the heat map

  const mapped = () => data.runs[get("map-run").value];
  const reference = (run) => Math.max(run.layers.length - 2, 0);

  function drawMap() {
    const [run, name] = [mapped(), get("profile").value];
    if (!run || !run.profiles[name]) { get("map-title").textContent = "not measured"; return; }
    const cells = heatmap.relative(run.profiles[name], reference(run));
    const mark = { step: numbers.nearest(run.steps, state.step), layer: numbers.nearest(run.layers, state.layer) };
    const most = heatmap.draw(get("map"), run, cells, mark, style("--ink"));
    get("map-title").textContent = `${data.profiles[name]}, relative to layer ${run.layers[reference(run)]}`;
    const scale = get("map-scale");
    scale.replaceChildren();
    scale.append(`× ${numbers.ofLog10(-most)}`, document.createElement("i"), `× ${numbers.ofLog10(most)}`);
    for (const letter of Object.keys(heatmap.COLOURS).filter((key) => cells.some((row) => row.includes(key)))) {
      const entry = element("span", "", scale);
      element("b", "", entry).style.background = heatmap.COLOURS[letter];
      entry.append(heatmap.NAMES[letter]);
    }
    say(run, name, mark);
  }

  function say(run, name, { step, layer }) {
    const code = run.profiles[name][step][layer];
    get("map-text").textContent = `step ${run.steps[step]}, layer ${run.layers[layer]} ${run.names[layer]}: ${numbers.text(code, true)}`;
  }

  function place(event) {
    const run = mapped();
    return heatmap.geometry(get("map"), run.profiles[get("profile").value]).place(event.offsetX, event.offsetY);
  }
  get("map").addEventListener("mousemove", (event) => { if (mapped().profiles[get("profile").value]) say(mapped(), get("profile").value, place(event)); });
  get("map").addEventListener("click", (event) => {
    const run = mapped();
    if (!run.profiles[get("profile").value]) return;
    const at = place(event);
    goTo(run.steps[at.step], run.layers[at.layer]);
  });
  get("map").addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const run = mapped();
    const within = (list, at) => list[Math.max(0, Math.min(list.length - 1, at))];
    const [dx, dy] = moves[event.key];
    goTo(within(run.steps, numbers.nearest(run.steps, state.step) + dx), within(run.layers, numbers.nearest(run.layers, state.layer) + dy));
  });

  function goTo(step, layer) {
    [state.step, state.layer] = [step, layer];
    get("step").value = numbers.nearest(state.steps, step);
    get("layer").value = numbers.nearest(state.layers, layer);
    move();
  }

  // ---- all of it

  function redraw() {
    setSliders();
    move();
    const name = get("course").value;
    if (!name) return;
    const lines = withCourse(name).map((run) => ({ run, x: run.courses[name].steps, codes: run.courses[name].values }));
    draw("by-course", data.courses[name], "step", lines, name.startsWith("log10_"), lines.map((line) => line.codes));
  }

  function selection() {
    const seeds = data.runs.some((run) => run.seeds > 1) ? " Of several seeds the first is drawn." : "";
    const left = profiled.filter((run) => run.steps.length < run.steps_stored || run.layers.length < run.layers_stored);
    const most = left[0];
    get("selection").textContent = (most
      ? `Of ${most.steps_stored} recorded steps and ${most.layers_stored} layers, ${most.steps.length} and ${most.layers.length} are in this page, evenly spread; the stored tables have all.`
      : "All recorded steps and layers are in this page.") + seeds;
  }

  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    for (const [id, { plot }] of Object.entries(plots)) plot.setSize({ width: Math.max(240, get(id).clientWidth), height: HEIGHT });
    drawMap();
  });
  dark.addEventListener("change", redraw);
  selection();
  redraw();
})();
