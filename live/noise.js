// An instrument for chapters 0 and 1: a photograph at level t of two schedules.
import { el, paint } from "./dom.js";
import { buttons, knobs, mount, note, photographs, readSchedule, slider } from "./instrument.js";
import { generator } from "./torch.js";

const SIZE = 32, eps = generator(0)(3 * SIZE * SIZE);
const schedules = ["linear", "cosine"].map(name => ({ name, sched: readSchedule(name) }));

// x_t of x_0, in one jump: chapter 1, Eq. (2).
const noised = ({ alphaBar }, x0, t) =>
  x0.map((v, i) => Math.sqrt(alphaBar[t]) * v + Math.sqrt(1 - alphaBar[t]) * eps[i]);

function short(v) {
  if (v == Infinity) return "∞";
  if (v > 0 && v < 1e-4) return v.toExponential(2).replace(/e(.*)/, " · 10^$1");
  return v >= 1000 ? v.toFixed(0) : v.toPrecision(3);
}
const share = v => (v > 0.99 && v < 1 ? v.toFixed(5) : short(v)); // not 1.00 beside a finite SNR

mount("noise", (box, root) => {
  const pictures = photographs(), { T } = schedules[0].sched, told = note();
  let x0 = pictures[0];
  const views = schedules.map(({ name, sched }) => {
    const canvas = el("canvas", { width: SIZE, height: SIZE, role: "img" });
    const caption = el("figcaption", { textContent: name });
    return { name, sched, canvas, caption, figure: el("figure", {}, canvas, caption) };
  });
  const level = slider("level t", { min: 0, max: T, step: 1, value: 300 }, show);
  const same = el("input", { type: "checkbox", id: `${root.dataset.instrument}-same` });
  same.onchange = show;
  box.append(el("div", { className: "live-stage" }, ...views.map(v => v.figure)), told,
    knobs(level), el("div", { className: "live-classes" },
      el("label", { htmlFor: same.id }, same, "the cosine schedule at the nearest SNR")),
    buttons(...pictures.map(p => [p.name, `Show the ${p.name}`, () => { x0 = p; show(); }])));

  // The level of a schedule whose SNR is nearest to this one, as a ratio.
  function equal({ snr }, wanted) {
    let best = 0;
    const off = t => Math.abs(Math.log(snr[t] / wanted));
    if (wanted < Infinity) for (let t = best = 1; t <= T; t++) if (off(t) < off(best)) best = t;
    return best;
  }
  function show() {
    root.shown = views.map(({ name, sched, canvas, caption }, i) => {
      const asked = level.value(), isEqual = i > 0 && same.checked;
      const t = isEqual ? equal(sched, schedules[0].sched.snr[asked]) : asked;
      const x = noised(sched, x0.x, t), snr = sched.snr[t];
      paint(canvas, x, SIZE);
      const values = `ᾱ = ${share(sched.alphaBar[t])}, SNR = ${short(snr)}`;
      caption.textContent = `${name}, t = ${t}: ${values}`;
      canvas.setAttribute("aria-label", `The ${x0.name} in noise, ${caption.textContent}`);
      return { name, t, x, snr };
    });
    const [a, b] = root.shown.map(s => s.snr), ratio = Math.max(a, b) / Math.min(a, b);
    const less = a < b ? "linear" : "cosine";
    told.textContent = a == b || ratio < 1.05 ? "As much signal beside the noise in both."
      : `The ${less} schedule has ${short(ratio)} times less signal beside the noise.`;
  }
  show();
});
