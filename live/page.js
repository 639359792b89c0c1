// live.html: the network runs where it is read. The address holds the state of the page, and `&go`
// in it starts without a click. A finished picture is window.liveResult = {x, ms, calls}.
import { MODELS, asked, choose, command, count, describe, fromAddress, toAddress }
  from "./address.js";
import { controls } from "./controls.js";
import { button, el } from "./dom.js";
import kernels from "./kernels.wasm"; // as text, in base 64
import { openModel } from "./model.js";
import { pictures } from "./pictures.js";
import { SAMPLERS, denoiser, slerp } from "./sampler.js";
import { generator } from "./torch.js";

const wasm = Uint8Array.from(atob(kernels), c => c.charCodeAt(0));
const PREVIEW = 12; // steps at most while a knob moves

// No network is loaded before the reader asks for it.
function mount(root) {
  if (!window.Worker || !window.WebAssembly || !WebAssembly.validate(wasm)) {
    const why = "This browser has no WebAssembly with SIMD, so the network cannot run here.";
    const film = el("img", { src: root.dataset.film, alt: "Four faces appear out of noise" });
    return root.append(el("p", {}, why, " The film shows it at work."), film);
  }
  const { state, go } = fromAddress(), note = el("p", { className: "live-note", role: "status" });
  let clicks = 0;
  const start = async name => {
    const mine = ++clicks, { state } = fromAddress();
    choose(state, "model", name);
    note.textContent = "Loading the network …";
    try {
      await openModel(root.dataset.folder, wasm, state);
      if (mine != clicks) return;
      const hadFocus = root.contains(document.activeElement);
      root.replaceChildren();
      live(root, state);
      if (hadFocus) root.querySelector(".live-tabs button").focus({ preventScroll: true });
    } catch (error) {
      if (mine == clicks) note.textContent = window.liveError = error.message;
    }
  };
  window.addEventListener("hashchange", () => {
    const { state, go } = fromAddress();
    if (go && note.isConnected) start(state.model); // the cards are still there
  });
  const cards = Object.entries(MODELS).map(([name, { title, about, megabytes }]) =>
    el("button", { type: "button", onclick: () => start(name) },
      el("img", { src: `${root.dataset.folder}/${name}.png`, alt: "Samples of the network" }),
      el("b", {}, title), el("span", {}, `${about}, loads ${megabytes} MB`)));
  root.append(el("div", { className: "live-cards" }, ...cards), note);
  if (go) start(state.model);
}

function live(root, state) {
  const note = el("p", { className: "live-note", role: "status" }), code = el("code");
  const about = el("p", { className: "live-about" });
  const see = pictures(tell), move = controls(state, changed);
  let model, loaded = {}, job = 0, wanted = null, running = null; // `loaded` says which `model` is
  let trouble = ""; // that stays until something else is asked for

  const isLoaded = () => state.model == loaded.model && state.away == loaded.away;
  const labels = how => (model.names.length ? how.class.split(",") : [undefined]);
  const address = () => toAddress(state, model.names.length > 0);
  const link = () => location.href.replace(/#.*/, "") + address() + "&go";
  const copy = (text, title, what) => {
    const b = button(text, title, async () => {
      try {
        await navigator.clipboard.writeText(what());
      } catch {
        return prompt(title, what()); // a page without https may not write there
      }
      b.textContent = "Copied";
      setTimeout(() => { b.textContent = text; }, 1500);
    });
    return b;
  };
  function pin() {
    const { label, how, states, isFinal } = see.shown() ?? {};
    if (isFinal) see.pin({ x: states.at(-1).x, text: describe(how, label) });
  }
  root.append(el("div", { className: "live-box" }, move.tabs, move.classes, see.stage, see.scrub,
    see.strips, note, move.knobs, el("div", { className: "live-buttons" },
      button("Compare", "Pin this picture beside the next", pin),
      copy("Copy link", "Copy a link to this picture", link)),
    el("div", { className: "live-command" }, el("p", {}, "The same picture without this page:"),
      el("pre", { tabIndex: 0 }, code), copy("Copy", "Copy the command", () => code.textContent)),
    about));
  window.addEventListener("hashchange", () => {
    const { state: given, isOurs } = fromAddress();
    if (!isOurs || (model && location.hash == address())) return; // or a place on this page
    Object.assign(state, given);
    changed("model");
  });
  changed("model");

  async function changed(kind) {
    if (kind == "model") {
      const { model: name, away } = state;
      const isWanted = () => state.model == name && state.away == away;
      note.textContent = trouble = "Loading the network …";
      try {
        const opened = await openModel(root.dataset.folder, wasm, state);
        if (!isWanted()) return; // another one was chosen meanwhile
        [model, loaded] = [opened, { model: name, away }];
      } catch (error) {
        if (!isWanted()) return;
        note.textContent = trouble = window.liveError = error.message;
        Object.assign(state, see.shown()?.how, loaded); // as what is shown
        if (model) history.replaceState(null, "", address());
        move.refresh();
        request("picture"); // what was being drawn may have had other knobs
        return;
      }
      trouble = "";
      move.fit(model);
      see.fit(model);
      about.textContent = model.about ?? "";
    } else if (isLoaded()) {
      trouble = "";
    }
    move.refresh();
    request(kind);
  }

  // While a knob moves, each picture is finished before the next; else the new one goes first.
  function request(kind) {
    if (kind != "knob" || running != "knob") job++;
    wanted = kind;
    if (!running) work();
  }
  async function work() {
    while (wanted && isLoaded()) { // else it waits for the network
      [running, wanted] = [wanted, null];
      try {
        await draw(running, job);
      } catch (error) {
        note.textContent = window.liveError = error.message;
      }
    }
    running = null;
  }
  function noise() {
    const x = generator(state.seed)(model.count);
    if (model.names.length || !state.walk) return x;
    return slerp(x, generator(state.to)(model.count), state.walk); // chapter 10, Eq. (8)
  }
  async function draw(kind, mine) {
    const how = { ...state }, { sampler, spacing, eta, w } = how;
    const { sched, names, weak } = model;
    const steps = kind == "knob" ? Math.min(how.steps, PREVIEW) : how.steps;
    const isFilm = kind == "anew" || kind == "model", xT = noise(), start = performance.now();
    const rows = labels(how).map(label => ({ label, how, states: [] }));
    let last = start; // when the reader was told how far it is
    delete window.liveResult;
    if (isFilm) see.begin(rows, steps);
    async function fill(row) {
      const { ask, calls } = denoiser(model, sched, names.indexOf(row.label), w, weak);
      const randn = generator(how.seed + 1); // the dice of η, as sample.py throws them
      let before = xT;
      for await (const s of SAMPLERS[sampler](ask, sched, xT, { steps, spacing, eta, randn })) {
        if (mine != job) return;
        row.states.push({ ...s, before });
        before = s.x;
        if (isFilm) see.add(row);
        if (performance.now() - last < 1000) continue;
        last = performance.now();
        note.textContent = trouble || `Drawing: step ${row.states.length} of ${steps} …`;
      }
      Object.assign(row, { calls: calls * steps * rows.length, isFinal: kind != "knob" });
    }
    await Promise.all(rows.map(fill));
    if (mine != job) return;
    for (const row of rows) row.ms = performance.now() - start; // of all rows
    if (!isFilm) see.begin(rows, steps);
    if (kind == "knob") return;
    tell(see.shown());
    if (isLoaded()) history.replaceState(null, "", address());
  }
  function tell({ label, how, states, ms, calls, isFinal }) { // what is shown
    if (!isFinal) return;
    const seconds = (ms / 1000).toFixed(2), rows = labels(how).length;
    const all = rows > 1 ? ` for ${rows} classes` : "";
    const cost = `${count(calls, "call")} of ${asked(how)}${all}, ${seconds} s here`;
    note.textContent = trouble || `${describe(how, label)}: ${cost}.`;
    code.textContent = labels(how).map(name => command(how, name)).join("\n");
    see.compare();
    window.liveResult = { x: states.at(-1).x, ms, calls };
  }
}

document.querySelectorAll(".tinydiff-live").forEach(mount);
