// Schedule, guidance and samplers, as chapters 0, 1, 5, 6 and 9 have them. Images are Float32Arrays;
// what is computed with them is double precision until it is stored.

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

// A denoiser ask(x, t) -> ε of a network net(x, t, c), guided: chapter 6, Eq. (6). What the network
// says is guided as it is, for ε is linear in it: chapter 1, Eqs. (7) and (9).
export function denoiser(net, { alphaBar }, predict, c, w) {
  const asked = { 0: [-1], 1: [c] }[w] ?? [-1, c]; // without the label, and with it
  const labels = c < 0 ? [-1] : asked;
  async function ask(x, t) {
    const [u, g] = await Promise.all(labels.map(label => net(x, t, label)));
    const a = Math.sqrt(alphaBar[t]), b = Math.sqrt(1 - alphaBar[t]);
    const eps = {
      eps: (_, out) => out,
      x0: (xt, out) => (xt - a * out) / b,
      v: (xt, out) => a * out + b * xt,
    }[predict];
    return Float64Array.from(u, (ui, i) => eps(x[i], g ? ui + w * (g[i] - ui) : ui));
  }
  return { ask, calls: labels.length };
}

// x0 and ε of x_t, x0 clamped if asked for: `denoise` of chapter 1, Eq. (7).
async function denoise(ask, { alphaBar }, x, t, clip) {
  const a = Math.sqrt(alphaBar[t]), b = Math.sqrt(1 - alphaBar[t]), eps = await ask(x, t);
  const x0 = Float64Array.from(x, (xt, i) => (xt - b * eps[i]) / a);
  if (clip)
    for (let i = 0; i < x.length; i++) {
      x0[i] = Math.max(-1, Math.min(1, x0[i]));
      eps[i] = (x[i] - a * x0[i]) / b;
    }
  return { x0, eps };
}

// Chapter 5, Eqs. (5) and (6). Each step yields the level reached, x there, and the x0 it is from.
export async function* ddim(ask, sched, xT, { steps, spacing, eta, randn }) {
  const ab = sched.alphaBar, ts = timesteps(sched, steps, spacing);
  let x = xT;
  for (let i = 0; i < steps; i++) {
    const [t, s] = [ts[i], ts[i + 1]], { x0, eps } = await denoise(ask, sched, x, t, true);
    const fresh = (eta ** 2 * (1 - ab[t] / ab[s])) / (1 - ab[t]); // share of the new variance
    const keep = Math.sqrt(ab[s]), old = Math.sqrt((1 - ab[s]) * (1 - fresh));
    const sigma = Math.sqrt((1 - ab[s]) * fresh), z = eta > 0 && s > 0 ? randn(x.length) : x;
    x = x.map((_, j) => keep * x0[j] + old * eps[j] + sigma * z[j]);
    yield { from: t, t: s, x, x0 };
  }
}

// DPM-Solver++(2M) of chapter 9: x0 is extrapolated along λ, half the logarithm of the SNR.
export async function* dpmpp(ask, sched, xT, { steps, spacing }) {
  const root = sched.alphaBar.map(Math.sqrt), lambda = sched.snr.map(v => Math.log(v) / 2);
  const ts = timesteps(sched, steps, spacing);
  let x = xT, before = null;
  for (let i = 0; i < steps; i++) {
    const [t, s] = [ts[i], ts[i + 1]], { x0 } = await denoise(ask, sched, x, t, false);
    const h = lambda[s] - lambda[t], keep = Math.exp(-h); // keep is 0 in the last step
    const lean = before && s > 0 ? h / before.h / 2 : 0;
    const old = before?.x0 ?? x0;
    x = x.map((xt, j) => {
      const middle = x0[j] + lean * (x0[j] - old[j]);
      return ((root[s] * keep) / root[t]) * xt + root[s] * (1 - keep) * middle;
    });
    before = { x0, h };
    yield { from: t, t: s, x, x0 };
  }
}

export const SAMPLERS = { ddim, dpmpp };

// The arc from a to b: chapter 5, Eq. (12). Noise stays noise on the way.
export function slerp(a, b, lambda) {
  const dot = (p, q) => p.reduce((total, v, i) => total + v * q[i], 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  const angle = Math.acos(Math.max(-1, Math.min(1, cosine)));
  if (angle == 0) return a;
  const [p, q] = [1 - lambda, lambda].map(part => Math.sin(part * angle) / Math.sin(angle));
  return a.map((v, i) => p * v + q * b[i]);
}
