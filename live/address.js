// The state of the page, its address, and the command that draws the same picture.
import { SAMPLERS } from "./sampler.js";

export const MODELS = { // the faces have no label that could be left out
  cifar10: { title: "Ten classes, 32 × 32", about: "CIFAR-10", megabytes: "7.1",
    away: ["label", "weak"] },
  celeba64: { title: "Faces, 64 × 64", about: "CelebA crops", megabytes: "9.0", away: ["weak"] },
};
const SCALE = { label: 3, weak: 1.5 }; // the usual w, by what guidance leans away from
const USUAL = { model: "cifar10", class: "dog", away: "label", w: 3, steps: 20, seed: 90,
  spacing: "uniform", sampler: "ddim", eta: 0, walk: 0, to: 8 };
export const SPACINGS = ["uniform", "quadratic", "logsnr", "karras", "leading"];
const CHOICES = { model: Object.keys(MODELS), sampler: Object.keys(SAMPLERS), spacing: SPACINGS };
export const RANGES = { // least, most, stride
  w: [0, 10, 0.25], steps: [1, 100, 1], eta: [0, 1, 0.05], walk: [0, 1, 0.05],
  seed: [0, 2 ** 32 - 2, 1], to: [0, 2 ** 32 - 2, 1], // the dice have the seed after it
};

const choices = ({ model }) => ({ ...CHOICES, away: MODELS[model].away });

// A number that a knob can have, or undefined.
export function inRange(name, text) {
  const [least, most, stride] = RANGES[name];
  if (text.trim() == "" || !isFinite(text)) return undefined;
  const v = Math.max(least, Math.min(most, +text));
  return stride == 1 ? Math.round(v) : v;
}

// A change of one thing, and of what is usual with it.
export function choose(state, name, value) {
  if (state[name] == value) return;
  state[name] = value;
  if (name == "model") choose(state, "away", MODELS[value].away[0]);
  if (name == "away") state.w = SCALE[value];
}

// What the address says, and the usual where it says nothing that can be had.
export function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)), state = { ...USUAL };
  for (const name of Object.keys(USUAL)) {
    const text = given.get(name);
    if (text == null) continue;
    if (name in RANGES) state[name] = inRange(name, text) ?? state[name];
    else if ((choices(state)[name] ?? [text]).includes(text)) choose(state, name, text);
  }
  const isOurs = [...Object.keys(USUAL), "go"].some(name => given.has(name));
  return { state, go: given.has("go"), isOurs };
}

const usesEta = ({ sampler, eta }) => sampler == "ddim" && eta > 0;

export function toAddress(state, hasClasses) {
  const unused = hasClasses || !state.walk ? ["walk", "to"] : [];
  if (!hasClasses) unused.push("class");
  if (state.away == MODELS[state.model].away[0]) unused.push("away");
  if (!usesEta(state)) unused.push("eta");
  const pairs = Object.entries(state).filter(([name]) => !unused.includes(name));
  return "#" + pairs.map(([name, v]) => `${name}=${String(v).replaceAll(" ", "+")}`).join("&");
}

export const count = (n, what) => `${n} ${what}${n == 1 ? "" : "s"}`;

// What a picture is, in words; the label is undefined where there are no classes.
export function describe(state, label) {
  const { away, w, walk, seed, to, sampler, steps, spacing, eta } = state;
  const between = !label && walk > 0;
  const face = between ? `face, ${walk} of the way from seed ${seed} to ${to}` : "face";
  const lean = away == "weak" && w != 1 ? " away from a weak network" : "";
  return [
    label ?? face, `w = ${w}${lean}`,
    `${count(steps, `${spacing} step`)} of ${sampler}`, usesEta(state) ? `η = ${eta}` : "",
    between ? "" : `seed ${seed}`,
  ].filter(Boolean).join(", ");
}

// The networks that it takes, in words.
export function asked({ away, w }) {
  if (away == "label") return "the network";
  return { 0: "the weak network", 1: "the network" }[w] ?? "both networks";
}

export function command(state, label) {
  const { model, away, w, sampler, steps, spacing, eta, seed, walk } = state;
  if (!label && walk > 0) return program(state);
  return ["uv run sample.py", model == USUAL.model ? "" : `--ckpt checkpoints/${model}`,
    label ? `--label ${label}` : "",
    `${away == "weak" ? `--weak checkpoints/${model}-weak ` : ""}--w ${w}`,
    `--sampler ${sampler} --steps ${steps} --spacing ${spacing}`,
    usesEta(state) ? `--eta ${eta}` : "",
    `--seed ${seed} --grid 1 --precision fp32 --device cpu`,
  ].filter(Boolean).join(" ");
}

// Between two seeds there is no command, so it is a program.
function program(state) {
  const { model, w, sampler, steps, spacing, eta, seed, to, walk } = state;
  const dice = usesEta(state) ? `, eta=${eta},
    generator=torch.Generator().manual_seed(${seed + 1})` : "";
  return `import torch
import tinydiff as td
from tinydiff.data import grid

def noise(seed):
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))

model, sched, config = td.load("checkpoints/${model}")
weak, _, _ = td.load("checkpoints/${model}-weak")
guided = td.cfg(model, ${w}, weak)
xT = td.slerp(noise(${seed}), noise(${to}), ${walk})
states = td.${sampler}(guided, sched, xT, steps=${steps}, spacing="${spacing}"${dice})
grid(td.sample(states), nrow=1).save("face.png")`;
}
