// Schedule, guidance and samplers, as chapters 0, 1, 5, 6 and 9 have them. Tables are in double
// precision, images are Float32Arrays.

// ᾱ_0 to ᾱ_T: chapter 0, Eqs. (5), (7), (8) and (9).
export function schedule({ name, T, s, max_beta, beta_start, beta_end }) {
  const f = t => Math.cos((((t / T + s) / (1 + s)) * Math.PI) / 2) ** 2;
  const beta = {
    cosine: t => Math.min(1 - f(t) / f(t - 1), max_beta),
    linear: t => beta_start + ((t - 1) / Math.max(T - 1, 1)) * (beta_end - beta_start),
  }[name];
  if (!beta) throw Error(`This schedule is unknown here: ${name}.`);
  const alphaBar = [1];
  for (let t = 1; t <= T; t++) alphaBar.push(alphaBar[t - 1] * (1 - beta(t)));
  return { T, alphaBar, snr: alphaBar.map(a => a / (1 - a)) }; // Eq. (6)
}

// Halves go to the even neighbor, as in torch.
function round(v) {
  const near = Math.round(v);
  return near - v == 0.5 && near % 2 ? near - 1 : near;
}

// The levels nearest to equal strides of a rising table, no level twice: chapter 0, Eq. (13).
function evenLevels(f, T, steps) {
  const ts = [];
  for (let i = 0, t = 1; i < steps; i++, t++) {
    const want = steps == 1 ? f(T) : f(1) + (i / (steps - 1)) * (f(T) - f(1));
    while (t < T && want > (f(t) + f(t + 1)) / 2) t++;
    t = Math.min(t, T - steps + 1 + i); // room for those that follow
    ts.unshift(t);
  }
  return ts;
}

// The levels that a sampler visits, from T down to 0: chapter 0, Eqs. (12) and (13).
export function timesteps({ T, snr }, steps, spacing) {
  const down = f => Array.from({ length: steps }, (_, k) => round(f(steps - k)));
  const ts = {
    uniform: () => down(i => (i * T) / steps),
    leading: () => down(i => (i - 1) * Math.floor(T / steps) + 1),
    quadratic: () => down(i => Math.max(T * (i / steps) ** 2, i)),
    logsnr: () => evenLevels(t => -Math.log(snr[t]), T, steps),
    karras: () => evenLevels(t => snr[t] ** (-1 / 14), T, steps), // σ^(1/7), as σ² = 1/SNR
  }[spacing];
  return [...ts(), 0];
}

// PyTorch rounds to float32 after each operation, and so does what follows. At t = T a rounding of
// ε is divided by √ᾱ_T = 0.00005: pictures would differ by more than a gray level without it.
const f = Math.fround;
const sum = (p, a, q, b) => a.map((ai, i) => f(f(p) * ai) + f(f(q) * b[i])); // p a + q b
const share = (a, p, b, q) => a.map((ai, i) => f(ai - f(f(p) * b[i])) / f(q)); // (a - p b) / q

// A denoiser ask(x, t) -> ε of a model {net, predict} with a net(x, t, c): chapter 1, Eqs. (7) and
// (9). It leans away from its own answer without the label, chapter 6, Eq. (6), or from that of a
// weak model, Eq. (10). Either needs two answers, except for w = 0 and w = 1.
export function denoiser(model, { alphaBar }, c, w, weak = model) {
  const away = { ...weak, label: -1 }, to = { ...model, label: c };
  const both = { 0: [away], 1: [to] }[w] ?? [away, to];
  const asked = c < 0 && weak == model ? [to] : both;
  async function ask(x, t) {
    const a = Math.sqrt(alphaBar[t]), b = Math.sqrt(1 - alphaBar[t]);
    const toEps = {
      eps: out => out,
      x0: out => share(x, a, out, b),
      v: out => sum(a, out, b, x),
    };
    const answer = async ({ net, predict, label }) => toEps[predict](await net(x, t, label));
    const [first, second] = await Promise.all(asked.map(answer));
    if (!second) return first;
    return first.map((u, i) => u + f(f(w) * f(second[i] - u)));
  }
  return { ask, calls: asked.length };
}

// x0 and ε of x_t, x0 clamped if asked for: `denoise` of chapter 1, Eq. (7).
async function denoise(ask, { alphaBar }, x, t, clip) {
  const a = Math.sqrt(alphaBar[t]), b = Math.sqrt(1 - alphaBar[t]), eps = await ask(x, t);
  const x0 = share(x, b, eps, a);
  if (!clip) return { x0, eps };
  const clamped = x0.map(v => Math.max(-1, Math.min(1, v)));
  return { x0: clamped, eps: share(x, a, clamped, b) };
}

// Chapter 5, Eqs. (5) and (6). Each step yields the level reached, x there, and the x0 it is from.
export async function* ddim(ask, sched, xT, how) {
  const { steps, spacing, eta, randn, clip_x0 = true } = how;
  const ab = sched.alphaBar, ts = timesteps(sched, steps, spacing);
  let x = xT;
  for (let i = 0; i < steps; i++) {
    const [t, s] = [ts[i], ts[i + 1]], { x0, eps } = await denoise(ask, sched, x, t, clip_x0);
    const fresh = (eta ** 2 * (1 - ab[t] / ab[s])) / (1 - ab[t]); // share of the new variance
    x = sum(Math.sqrt(ab[s]), x0, Math.sqrt((1 - ab[s]) * (1 - fresh)), eps);
    if (eta > 0 && s > 0) x = sum(1, x, Math.sqrt((1 - ab[s]) * fresh), randn(x.length));
    yield { from: t, t: s, x, x0 };
  }
}

// DPM-Solver++(2M), `dpmpp` of chapter 9: x0 is extrapolated along λ, half the log of the SNR.
export async function* dpmpp(ask, sched, xT, { steps, spacing }) {
  const root = sched.alphaBar.map(Math.sqrt), lambda = sched.snr.map(v => Math.log(v) / 2);
  const ts = timesteps(sched, steps, spacing);
  let x = xT, before = null;
  for (let i = 0; i < steps; i++) {
    const [t, s] = [ts[i], ts[i + 1]], { x0 } = await denoise(ask, sched, x, t, false);
    const h = lambda[s] - lambda[t], keep = Math.exp(-h); // σ_s / σ_t, 0 in the last step
    let middle = x0;
    if (before && s > 0) middle = sum(1, x0, h / before.h / 2, sum(1, x0, -1, before.x0));
    x = sum((root[s] * keep) / root[t], x, root[s] * (1 - keep), middle);
    before = { x0, h };
    yield { from: t, t: s, x, x0 };
  }
}

export const SAMPLERS = { ddim, dpmpp };

// The arc from a to b: chapter 10, Eq. (8). Noise stays noise on the way.
export function slerp(a, b, lambda) {
  const dot = (p, q) => p.reduce((total, v, i) => total + v * q[i], 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  if (angle == 0) return a;
  const [p, q] = [1 - lambda, lambda].map(part => Math.sin(part * angle) / Math.sin(angle));
  return a.map((v, i) => p * v + q * b[i]);
}
