// What is seen: x_t and x̂_0, large; a strip of them for each class; and a picture that is pinned.
// A row is {label, states}, a state {from, t, before, x, x0}: a step led from x `before` to x.
import { button, el, indexed, paint } from "./dom.js";

// The difference of two pictures in gray levels, as the root of the mean square.
const grayLevels = (a, b) =>
  127.5 * Math.sqrt(a.reduce((total, v, i) => total + (v - b[i]) ** 2, 0) / a.length);

const name = (e, text) => e.setAttribute("aria-label", text);

export function pictures(selected) { // hears which row is shown large
  const large = () => el("canvas", { role: "img" });
  const noisy = large(), clean = large(), kept = large(), keptText = el("span");
  const figure = (canvas, ...caption) => el("figure", {}, canvas, el("figcaption", {}, ...caption));
  const pinned = figure(kept, keptText, button("×", "Remove the pinned picture", () => pin(null)));
  const stage = el("div", { className: "live-stage" },
    figure(noisy, ...indexed("x", "t"), ", the picture so far"),
    figure(clean, ...indexed("x̂", "0"), ", what the network sees in it"), pinned);
  const scrubber = el("input", { type: "range", min: 0, max: 0, step: 1, id: "live-step" });
  const place = el("output", { htmlFor: "live-step", "aria-live": "off" });
  const scrub = el("div", { className: "live-scrub" },
    el("label", { htmlFor: "live-step" }, "step"), scrubber, place);
  const strips = el("div", { className: "live-strips" });
  let rows = [], size = 32, T = 1000, steps = 1, row = 0, at = 0, keep = null;
  let way = 1; // how far along the reader looks, from 0 to 1
  function look(k) {
    way = steps > 1 ? Math.max(k, 0) / (steps - 1) : 1;
    show(k);
  }
  scrubber.oninput = () => look(+scrubber.value);

  // A strip has room for so many steps; several rows leave out the noise.
  function strip(r, i) {
    const lines = rows.length == 1 ? 2 : 1, frames = Math.min(steps, innerWidth < 600 ? 10 : 20);
    const gap = size / 16, stride = size + gap;
    const canvas = el("canvas", { width: frames * stride - gap, height: lines * stride - gap });
    canvas.style.maxWidth = `${4.5 * frames}rem`; // a strip, even if there is one frame
    const title = button(r.label ?? "face", `Show ${r.label ?? "face"} large`, () => select(i, at));
    canvas.setAttribute("aria-hidden", true); // its states are those of the scrubber
    canvas.onclick = e => {
      const k = Math.floor((e.offsetX / canvas.clientWidth) * frames);
      select(i, places[Math.max(0, Math.min(k, frames - 1))]);
    };
    const every = frames > 1 ? (steps - 1) / (frames - 1) : 1;
    const places = Array.from({ length: frames }, (_, k) => Math.round(k * every));
    Object.assign(r, { title, draw: (state, k) => {
      const left = places.indexOf(k) * stride;
      if (left < 0) return;
      if (lines == 2) paint(canvas, state.before, size, left, 0);
      paint(canvas, state.x0, size, left, (lines - 1) * stride);
    } });
    return el("div", { className: "live-row" }, ...(lines == 1 ? [title] : []), canvas);
  }
  function begin(newRows, newSteps) { // as many states will come for each row
    [rows, steps, row] = [newRows, newSteps, Math.min(row, newRows.length - 1)];
    at = Math.round(way * (steps - 1));
    strips.replaceChildren(...rows.map(strip));
    scrubber.max = steps - 1;
    mark();
    rows.forEach(r => r.states.forEach(r.draw));
    show(at);
  }
  function add(r) { // its last state is new
    const k = r.states.length - 1;
    r.draw(r.states[k], k);
    if (r != rows[row]) return;
    way = 1; // a film leads to its end
    show(k);
  }
  function mark() {
    rows.forEach((r, i) => r.title.setAttribute("aria-pressed", i == row));
  }
  function select(i, k) {
    row = i;
    mark();
    look(Math.min(k, rows[row].states.length - 1));
    selected(rows[row]);
  }
  function show(k) {
    const { label = "face", states } = rows[row], state = states[k];
    if (!state) return;
    const isLast = state.t == 0;
    at = k;
    paint(noisy, isLast ? state.x : state.before, size);
    paint(clean, state.x0, size);
    scrubber.value = k;
    place.textContent = `${k + 1} of ${steps}, t = ${state.from} → ${state.t}`;
    scrubber.setAttribute("aria-valuetext", place.textContent);
    const level = `level ${state.from} of ${T}`;
    name(noisy, `${label}, ${isLast ? "finished" : `with the noise of ${level}`}`);
    name(clean, `${label}, as the network guesses it at ${level}`);
  }
  function pin(picture) { // {x, text}, or null
    keep = picture;
    pinned.hidden = !keep;
    if (keep) paint(kept, keep.x, size);
    compare();
  }
  function compare() { // the pinned picture with the one shown
    const now = rows[row]?.states[steps - 1];
    if (!keep || !now) return;
    const apart = grayLevels(keep.x, now.x);
    const away = apart ? `: ${apart.toFixed(1)} gray levels away` : "";
    keptText.textContent = `pinned: ${keep.text}${away}`;
    name(kept, `Pinned: ${keep.text}`);
  }
  return {
    stage, scrub, strips, begin, add, pin, compare,
    shown: () => rows[row],
    fit(model) {
      [size, T] = [model.size, model.sched.T];
      for (const canvas of [noisy, clean, kept]) canvas.width = canvas.height = size;
      pin(keep?.x.length == model.count ? keep : null); // its canvas has lost it
    },
  };
}
