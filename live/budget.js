// An instrument for the post on budgets: minutes and a speed give images seen, and the distance of
// finished runs that saw as many. A cell of the post wrote the measured rows and the speeds there.
import { el } from "./dom.js";
import { choice, knobs, mount, note, slider } from "./instrument.js";

const MINUTES = [1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440, 2880,
  4320, 7200, 10080], OTHER = "another speed";
const W = 400, H = 260, LEFT = 44, RIGHT = 388, TOP = 10, BOTTOM = 212; // of the plot
const X = [1e4, 3e7], Y = [40, 500]; // its axes: images seen, distance

const between = (v, [a, b]) => Math.log(v / a) / Math.log(b / a); // 0 at a, 1 at b
const across = v => LEFT + (RIGHT - LEFT) * Math.min(Math.max(between(v, X), 0), 1);
const up = v => BOTTOM - (BOTTOM - TOP) * between(v, Y);
const whole = v => Math.round(v).toLocaleString("en-US");
const about = v => (v < 1e6 ? whole(+v.toPrecision(3)) : `${+(v / 1e6).toPrecision(3)} million`);

function spell(minutes) {
  if (minutes < 60) return `${minutes} min`;
  return minutes < 1440 ? `${minutes / 60} h` : `${minutes / 1440} d`;
}

// The rows around a number of images, and the distance between them as a straight line in both
// logarithms has it; nothing outside of what was measured.
function read(rows, images) {
  const k = rows.findIndex(r => r.images >= images), b = rows[k], a = k ? rows[k - 1] : b;
  if (k < 0 || (k == 0 && b.images > images)) return null;
  const u = a == b ? 0 : between(images, [a.images, b.images]);
  return { a, b, distance: a.distance * (b.distance / a.distance) ** u };
}

function svg(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}
const line = (x1, y1, x2, y2, more) => svg("line", { x1, y1, x2, y2, ...more });
const text = (x, y, says, more) => svg("text", { x, y, class: "live-text", ...more }, says);
const dot = (x, y, r, more) => svg("circle", { cx: across(x), cy: up(y), r, ...more });

function axes(floor) {
  const soft = { class: "live-grid" }, middle = { "text-anchor": "middle" };
  const columns = ["10,000", "100,000", "1 million", "10 million"].flatMap((says, i) => {
    const x = across(10 ** (4 + i)), where = i ? middle : {};
    return [line(x, TOP, x, BOTTOM, soft), text(x, BOTTOM + 18, says, where)];
  });
  const rows = [50, 100, 200, 400].flatMap(v => [line(LEFT, up(v), RIGHT, up(v), soft),
    text(LEFT - 6, up(v) + 5, v, { "text-anchor": "end" })]);
  return [...columns, ...rows, text((LEFT + RIGHT) / 2, H - 8, "images seen", middle),
    text(LEFT + 6, TOP + 14, "distance"), text(LEFT + 6, up(floor) - 5, "photographs"),
    line(LEFT, up(floor), RIGHT, up(floor), { class: "live-floor" })];
}

mount("budget", (box, root) => {
  const { rows, floor, speeds } = JSON.parse(root.dataset.measured), names = Object.keys(speeds);
  const moving = svg("g", {}), told = note();
  const curve = rows.map(r => `${across(r.images)},${up(r.distance)}`).join(" ");
  const marks = rows.map(r => dot(r.images, r.distance, 4.5, { class: "live-full" }));
  const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" }, ...axes(floor),
    svg("polyline", { points: curve, class: "live-curve" }), ...marks, moving);
  const minutes = slider("time", { min: 0, max: MINUTES.length - 1, step: 1,
    value: MINUTES.indexOf(60), show: i => spell(MINUTES[i]) }, show);
  const speed = slider("images a second", { min: 0, max: 5, step: 0.01,
    value: Math.log10(speeds[names[0]]), show: v => whole(10 ** v) }, () => {
    machine.input.value = OTHER;
    show();
  });
  const machine = choice("machine", [...names, OTHER], () => {
    settle();
    show();
  });
  box.append(picture, told, knobs(minutes, speed, machine));
  const rate = () => speeds[machine.value()] ?? 10 ** speed.value();
  function settle() { // the slider near the speed of a machine, its words at it
    if (machine.value() != OTHER) speed.set(Math.log10(rate()), whole(rate()));
  }

  function show() {
    const images = 60 * MINUTES[minutes.value()] * rate(), x = across(images);
    const found = read(rows, images), ends = [rows[0], rows.at(-1)].map(r => whole(r.images));
    const said = found ? `distance ${whole(found.distance)} (photographs have ${whole(floor)}), `
      + `read between runs of ${whole(found.a.images)} and ${whole(found.b.images)} images.`
      : `nothing was measured outside of ${ends.join(" to ")}, and nothing is guessed.`;
    told.textContent = `${about(images)} images seen: ${said}`;
    const cross = found ? [dot(images, found.distance, 7, { class: "live-here" })] : [];
    const now = images <= X[1] ? [line(x, TOP, x, BOTTOM, { class: "live-now" })] : [];
    moving.replaceChildren(...now, ...cross);
    picture.setAttribute("aria-label", `Distance by images seen. ${told.textContent}`);
    root.shown = { images, distance: found?.distance ?? null };
  }
  settle();
  show();
});
