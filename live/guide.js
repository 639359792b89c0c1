// An instrument for chapter 6: guidance on the spiral. Points are samples, each asked for the arm
// of its color; behind them is the density of Eq. (2) at t = 0, from which they should be drawn.
import { ARMS, choice, even, knobs, mount, note, plane, readSchedule, slider, spiral }
  from "./instrument.js";
import { logDensity, mixture, nearest } from "./mixture.js";
import { SAMPLERS, denoiser } from "./sampler.js";

const sched = readSchedule("linear"), data = spiral(), xT = even(), N = xT.length / 2;
const STEPS = 40, CELLS = 200, LIMIT = 1.35;
const WIDTHS = { "exact": 0.02, "blurred": 0.08 };
const redGreenBlue = hex => [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
const rgb = ARMS.map(redGreenBlue);
const half = data.arm.length / 2, lastTurn = Math.round(((4 / 9 - 0.02) / 0.98) * (half - 1));
const USUAL = (half - 1 - lastTurn) / half; // share of the data on the last half turns

mount("guide", (box, root) => {
  const { canvas, ...view } = plane(LIMIT), told = note(), known = {};
  let job = 0;
  const w = slider("guidance w", { min: 0, max: 6, step: 0.25, value: 1 }, show);
  const kind = choice("denoiser", Object.keys(WIDTHS), show);
  box.append(canvas, told, knobs(w, kind));

  // log p(x) and log p(x | c) on the cells, which no knob but the width changes
  function densities(sd) {
    const log = logDensity(data, sd), own = [[], []];
    view.shade(CELLS, (x, y) => {
      own.forEach((list, c) => list.push(log(x, y, c)));
      return [0, 0, 0, 0];
    });
    const all = own[0].map((a, i) => { // both arms have as many centers
      const b = own[1][i], most = Math.max(a, b);
      return most + Math.log((Math.exp(a - most) + Math.exp(b - most)) / 2);
    });
    return { all, own };
  }
  async function samples(sd) { // the first half of the noises asks for arm 0
    const net = mixture(sched, data, sd), how = { steps: STEPS, spacing: "quadratic", eta: 0 };
    const arms = [xT.subarray(0, N), xT.subarray(N)].map(async (x, c) => {
      const { ask } = denoiser({ net, predict: "eps" }, sched, c, w.value());
      for await (const s of SAMPLERS.ddim(ask, sched, x, { ...how, clip_x0: false })) x = s.x;
      return x;
    });
    return Promise.all(arms);
  }
  async function show() {
    const mine = ++job;
    await new Promise(done => setTimeout(done)); // what is newer overtakes
    if (mine != job) return;
    const sd = WIDTHS[kind.value()], { all, own } = (known[sd] ??= densities(sd));
    const found = await samples(sd);
    const log = own.map(l => l.map((v, i) => all[i] + w.value() * (v - all[i]))); // Eq. (2)
    const top = Math.max(...log.map(l => l.reduce((m, v) => Math.max(m, v))));
    view.clear();
    view.shade(CELLS, (x, y, i) => {
      const p = log.map(l => Math.exp(l[i] - top)), sum = p[0] + p[1];
      const mix = rgb[0].map((v, j) => (p[0] * v + p[1] * rgb[1][j]) / (sum || 1));
      return [...mix, 150 * Math.min(1, sum)];
    });
    const close = found.map((x, c) => nearest(data, x, c)).flat();
    const share = test => close.filter(test).length / N;
    found.forEach((x, c) => view.dots(x, 3.4, () => ARMS[c]));
    const on = share(e => e.far < 0.06), outer = share(e => e.k % half > lastTurn);
    const percent = v => `${Math.round(100 * v)}%`;
    told.textContent = `w = ${w.value()}: ${percent(on)} of the samples lie on the arm they were `
      + `asked for, ${percent(outer)} on its last half turn (of the data, ${percent(USUAL)}).`;
    canvas.setAttribute("aria-label", `${N} guided samples on the spiral. ${told.textContent}`);
    root.shown = { w: w.value(), sd, x: Float32Array.of(...found[0], ...found[1]), on, outer };
  }
  show();
});
