// What the small instruments in the chapters share: the tables, sliders, and a plane to draw in.
// tables.js comes first: build.py wrote it, with the numbers of the package.
import { button, el } from "./dom.js";

const tables = window.tinydiffTables;
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const doubles = text => new Float64Array(bytes(text).buffer);

// ᾱ_0 to ᾱ_T and the SNR: chapter 0, Eqs. (5) and (6).
export function readSchedule(name) {
  if (!tables) {
    const lost = "The numbers of this instrument did not load. Reload the page.";
    for (const root of document.querySelectorAll("[data-instrument]"))
      root.append(el("p", { className: "live-note" }, lost));
    throw Error(lost);
  }
  const alphaBar = doubles(tables.alphaBar[name]);
  return { T: alphaBar.length - 1, alphaBar, snr: alphaBar.map(a => a / (1 - a)) };
}

// The spiral of chapter 1: the centers of its bells, x and y in turn, and the arm of each.
export const spiral = () => ({ means: doubles(tables.means), arm: bytes(tables.arm) });

// Points of noise that are spread evenly, so that chance does not blur what is counted.
export const even = () => new Float32Array(bytes(tables.even).buffer);

// Photographs (3, 32, 32) in [-1, 1], by name.
export const photographs = () =>
  Object.entries(tables.pictures).map(([name, text]) =>
    ({ name, x: Float32Array.from(bytes(text), v => v / 127.5 - 1) }));

// In each place of a page that asks for this kind; the text in it stays, above the instrument.
export function mount(kind, start) {
  const href = new URL("live.css", document.currentScript.src).href;
  document.head.append(el("link", { rel: "stylesheet", href }));
  for (const root of document.querySelectorAll(`[data-instrument="${kind}"]`)) {
    const box = el("div", { className: "live-box" });
    root.append(box);
    start(box, root);
  }
}

let last = 0;
const knob = (label, input, ...more) => {
  input.id = `instrument-${++last}`;
  const name = el("label", { htmlFor: input.id }, label);
  return el("div", { className: "live-knob" }, name, ...more, input);
};

// `show` says a value in words.
export function slider(label, { min, max, step, value, show = String }, changed) {
  const input = el("input", { type: "range", min, max, step, value });
  const out = el("output", { "aria-live": "off" }); // the slider says it
  function tell(words = show(+input.value)) {
    out.textContent = words;
    input.setAttribute("aria-valuetext", words);
  }
  function set(v, words) {
    input.value = v;
    tell(words);
  }
  input.oninput = () => {
    tell();
    changed();
  };
  tell();
  return { box: knob(label, input, out), input, set, value: () => +input.value };
}

export function choice(label, options, changed) {
  const input = el("select", {}, ...options.map(textContent => el("option", { textContent })));
  input.onchange = changed;
  return { box: knob(label, input), input, value: () => input.value };
}

export const buttons = (...all) =>
  el("div", { className: "live-buttons" }, ...all.map(one => button(...one)));

export const knobs = (...all) => el("div", { className: "live-knobs" }, ...all.map(k => k.box));

export const note = () => el("p", { className: "live-note", role: "status" });

// A square of the plane, [-limit, limit] on both axes.
export function plane(limit) {
  const size = 800, canvas = el("canvas", { width: size, height: size, role: "img" });
  const g = canvas.getContext("2d"), place = (x, y) => [1 + x / limit, 1 - y / limit];
  const at = (x, y) => place(x, y).map(v => (v * size) / 2);
  return {
    canvas,
    color: name => getComputedStyle(canvas).getPropertyValue(name),
    clear: () => g.clearRect(0, 0, size, size),
    dots(x, radius, color) { // points, x and y in turn; color(i) is that of the i-th
      for (let i = 0; i < x.length / 2; i++) {
        g.fillStyle = color(i);
        g.beginPath();
        g.arc(...at(x[2 * i], x[2 * i + 1]), radius, 0, 7);
        g.fill();
      }
    },
    line(points, color, width) { // through points [x, y]
      g.strokeStyle = color;
      g.lineWidth = width;
      g.beginPath();
      for (const p of points) g.lineTo(...at(...p));
      g.stroke();
    },
    shade(n, color) { // n x n cells; color(x, y) is [r, g, b, a] of the one around (x, y)
      const small = el("canvas", { width: n, height: n }), image = new ImageData(n, n);
      for (let row = 0; row < n; row++)
        for (let column = 0; column < n; column++) {
          const x = ((2 * column + 1) / n - 1) * limit, y = (1 - (2 * row + 1) / n) * limit;
          image.data.set(color(x, y, row * n + column), 4 * (row * n + column));
        }
      small.getContext("2d").putImageData(image, 0, 0);
      g.drawImage(small, 0, 0, size, size);
    },
    where(e) { // of a pointer
      const b = canvas.getBoundingClientRect();
      const [u, v] = [(e.clientX - b.left) / b.width, (e.clientY - b.top) / b.height];
      return [(2 * u - 1) * limit, (1 - 2 * v) * limit];
    },
  };
}

export const ARMS = ["#0072B2", "#E69F00"]; // the colors of the two arms in the book's figures
