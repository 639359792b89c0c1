// An instrument for chapters 4, 5 and 8: points of noise walk to the spiral, with the exact
// denoiser. The arrows are the direction of the ODE of chapter 8 as t falls, -v(x, t).
import { count as many } from "./address.js";
import { ARMS, buttons, choice, knobs, mount, note, plane, readSchedule, slider, spiral }
  from "./instrument.js";
import { mixture, nearest } from "./mixture.js";
import { SAMPLERS } from "./sampler.js";
import { generator } from "./torch.js";

const COUNTS = [1, 2, 3, 5, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1000], MOST = 120, LIMIT = 2.6;
const sched = readSchedule("linear"), data = spiral(), exact = mixture(sched, data, 0.02);
const ask = (x, t) => exact(x, t, -1);

// Sixteen numbers at a time, as torch draws them.
function normal(seed) {
  const randn = generator(seed);
  return n => randn(16 * Math.ceil(n / 16)).subarray(0, n);
}

mount("paths", (box, root) => {
  const start = { steps: 50, eta: 0, points: 24, ...root.dataset };
  const { canvas, ...view } = plane(LIMIT), told = note();
  let seed = 0, xT = normal(seed)(2 * start.points), job = 0, playing = 0;
  let film = [{ t: sched.T, x: xT }], ends = nearest(data, xT);

  const steps = slider("steps", {
    min: 0, max: COUNTS.length - 1, step: 1, value: COUNTS.indexOf(+start.steps),
    show: i => COUNTS[i],
  }, walk);
  const eta = slider("fresh noise η", { min: 0, max: 1, step: 0.1, value: +start.eta }, walk);
  const level = slider("level t", {
    min: 0, max: 1, step: 1, value: 1, show: i => film[i]?.t ?? sched.T,
  }, () => { stop(); draw(); });
  const sampler = choice("sampler", Object.keys(SAMPLERS), walk);
  const spacing = choice("spacing", ["uniform", "quadratic", "logsnr"], walk);
  box.append(canvas, told, knobs(level, steps, eta, sampler, spacing), buttons(
    ["Play", "Play the walk", play],
    [`${start.points} points`, `Drop ${start.points} other points of noise`, () => {
      xT = normal(++seed)(2 * start.points);
      walk().then(playUnasked);
    }],
    ["One point", "Drop one point of noise", () => add(normal(++seed)(2))],
    ["Clear", "Remove all points", () => { xT = new Float32Array(0); seed++; walk(); }]));

  // A click or a touch drops a point of noise; a stroke of the mouse drops many.
  let stroke = null, byMouse = false, drawing = false; // not every click says what made it
  const isFar = p => !stroke || Math.hypot(p[0] - stroke[0], p[1] - stroke[1]) > 0.15;
  function drop(e) {
    const p = view.where(e);
    if (!isFar(p)) return;
    stroke = p;
    add(p);
  }
  function add(p) {
    if (xT.length < 2 * MOST) xT = Float32Array.of(...xT, ...p);
    return walk();
  }
  const isMouse = e => e.pointerType == "mouse";
  canvas.onpointerdown = e => {
    stroke = null;
    byMouse = isMouse(e);
    drawing = byMouse && e.button == 0;
    if (drawing) drop(e);
  };
  canvas.onpointermove = e => {
    drawing = drawing && e.buttons == 1; // a menu hides the release
    if (drawing) (e.getCoalescedEvents?.() ?? [e]).forEach(drop); // also those during a walk
  };
  window.addEventListener("pointerup", () => { drawing = false; });
  canvas.onclick = e => {
    stroke = null;
    if (!byMouse) drop(e);
    walk().then(playUnasked);
  };

  async function walk() {
    const mine = ++job;
    await new Promise(done => setTimeout(done)); // what is newer overtakes
    if (mine != job) return;
    const states = [{ t: sched.T, x: xT }], count = COUNTS[steps.value()];
    const how = { steps: count, spacing: spacing.value(), eta: eta.value(), clip_x0: false };
    const randn = normal(seed + 1);
    for await (const s of SAMPLERS[sampler.value()](ask, sched, xT, { ...how, randn }))
      states.push(s);
    stop();
    film = states;
    ends = nearest(data, film.at(-1).x);
    const off = ends.reduce((total, e) => total + e.far, 0) / ends.length;
    const walked = `${many(ends.length, "point")}, ${many(count, "step")}: `;
    const far = ends.length == 1 ? `it ends ${off.toFixed(3)} from the spiral.`
      : `they end ${off.toFixed(3)} from the spiral, in the mean.`;
    const full = ends.length >= MOST ? " There is no room for more." : "";
    told.textContent = ends.length ? walked + far + full
      : "Click into the picture to drop a point of noise.";
    root.shown = { ...how, sampler: sampler.value(), xT, x: film.at(-1).x, off };
    eta.box.hidden = sampler.value() != "ddim";
    level.input.max = count;
    level.set(count);
    draw();
  }
  function stop() {
    cancelAnimationFrame(playing);
  }
  function playUnasked() {
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
  }
  function play() {
    stop();
    const begin = performance.now(), last = film.length - 1;
    const frame = now => {
      const k = Math.min(last, Math.floor(((now - begin) / 2000) * (last + 1)));
      level.set(Math.max(k, 0));
      draw();
      if (k < last) playing = requestAnimationFrame(frame);
    };
    playing = requestAnimationFrame(frame);
  }
  function field(t) {
    const n = 20, stride = (2 * LIMIT) / n, color = view.color("--soft");
    const a = Math.sqrt(sched.alphaBar[t]), b = Math.sqrt(1 - sched.alphaBar[t]);
    const places = Float32Array.from({ length: 2 * n * n }, (_, i) => {
      const cell = i >> 1;
      return (((i & 1 ? Math.floor(cell / n) : cell % n) + 0.5) / n) * 2 * LIMIT - LIMIT;
    });
    const eps = ask(places, t);
    // v of chapter 1, Eq. (8)
    const v = places.map((x, i) => a * eps[i] - (b * (x - b * eps[i])) / a);
    for (let i = 0; i < v.length; i += 2) {
      const size = Math.hypot(v[i], v[i + 1]), reach = Math.min(0.25 * size, 0.9 * stride);
      const [dx, dy] = [(-v[i] / size) * reach, (-v[i + 1] / size) * reach];
      const [x, y] = [places[i], places[i + 1]], tip = [x + dx, y + dy];
      const wing = side =>
        [tip[0] - 0.3 * dx + side * 0.2 * dy, tip[1] - 0.3 * dy - side * 0.2 * dx];
      view.line([[x, y], tip], color, 1.2);
      view.line([wing(1), tip, wing(-1)], color, 1.2);
    }
  }
  function draw() {
    const k = level.value(), { t, x } = film[k], color = i => ARMS[data.arm[ends[i].k]];
    view.clear();
    const faint = view.color("--soft") + "80";
    view.dots(data.means, 2.5, () => faint);
    if (t > 0) field(t);
    const isShaken = sampler.value() == "ddim" && eta.value() > 0; // such paths hide the others
    const shown = isShaken ? 12 : film.length;
    const trail = film.slice(Math.max(0, k + 1 - shown), k + 1);
    for (let i = 0; i < x.length / 2; i++)
      view.line(trail.map(s => [s.x[2 * i], s.x[2 * i + 1]]), color(i) + "90", 2.2);
    view.dots(x, 6, color);
    const what = `${many(ends.length, "point")} at level ${t}, on the way from noise to the spiral`;
    canvas.setAttribute("aria-label", what);
  }
  const theme = { attributes: true, attributeFilter: ["class"] }; // gray is another one then
  new MutationObserver(() => root.shown && draw()).observe(document.documentElement, theme);
  walk();
});
