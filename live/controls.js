// What is moved: the model, its classes and the knobs. A change goes into `state`, and `changed`
// hears of it: "knob" while a slider moves, "picture" when it rests, "anew" for another subject,
// "model" for another network.
import { MODELS, RANGES, SPACINGS, choose, inRange } from "./address.js";
import { button, el } from "./dom.js";
import { SAMPLERS } from "./sampler.js";

export function controls(state, changed) {
  const inputs = {}, values = {}; // by name: what is moved, and where its value is written

  function knob(name, ...label) {
    const [min, max, step] = RANGES[name], id = `live-${name}`;
    const input = el("input", { type: "range", min, max, step, id });
    const take = kind => () => {
      state[name] = inRange(name, input.value) ?? state[name];
      values[name].textContent = state[name];
      changed(kind);
    };
    let timer = null; // a slider that comes back to where it was tells of no change
    const rest = () => {
      if (timer == null) return;
      clearTimeout(timer);
      timer = null;
      take("picture")();
    };
    input.oninput = () => {
      take("knob")();
      clearTimeout(timer);
      timer = setTimeout(rest, 400);
    };
    input.onchange = rest;
    inputs[name] = input;
    values[name] = el("output", { htmlFor: id, "aria-live": "off" });
    return el("div", { className: "live-knob" },
      el("label", { htmlFor: id }, ...label), values[name], input);
  }
  function number(name, label, ...more) {
    const [min, max, step] = RANGES[name], id = `live-${name}`;
    const input = inputs[name] = el("input", { type: "number", min, max, step, id });
    input.onchange = () => {
      state[name] = inRange(name, input.value) ?? state[name];
      changed("anew");
    };
    return el("div", { className: "live-knob" },
      el("label", { htmlFor: id }, label), el("span", {}, input, ...more));
  }
  function choice(name, label, options, kind) { // options are [value, what is shown]
    const id = `live-${name}`;
    const input = inputs[name] = el("select", { id },
      ...options.map(([value, textContent]) => el("option", { value, textContent })));
    input.onchange = () => {
      choose(state, name, input.value);
      changed(kind);
    };
    return el("div", { className: "live-knob" }, el("label", { htmlFor: id }, label), input);
  }
  function die(name, label) {
    return button("⚄", label, () => {
      state[name] = Math.floor(Math.random() * 100000);
      changed("anew");
    });
  }

  const guidance = knob("w", "guidance ", el("i", { textContent: "w" }));
  const leans = [["label", "no label"], ["weak", "weak network"]];
  const away = choice("away", "away from", leans, "model");
  const walk = knob("walk", "walk from seed to seed");
  const eta = knob("eta", "fresh noise η");
  const seed = number("seed", "seed", die("seed", "Another seed"));
  const to = number("to", "second seed", die("to", "Another second seed"));
  const names = all => all.map(name => [name, name]);
  const knobs = el("div", { className: "live-knobs" }, walk, guidance, away, knob("steps", "steps"),
    seed, to, choice("sampler", "sampler", names(Object.keys(SAMPLERS)), "picture"),
    choice("spacing", "spacing", names(SPACINGS), "picture"), eta);

  const several = el("input", { type: "checkbox", id: "live-several" });
  const label = el("label", { htmlFor: "live-several" }, several, "several at once");
  const classes = el("div", { className: "live-classes", role: "group", "aria-label": "Class" });
  several.onchange = () => {
    if (several.checked) return;
    state.class = state.class.split(",")[0];
    changed("anew");
  };
  function chooseClass(name) {
    const now = state.class.split(","), others = now.filter(n => n != name);
    if (!several.checked) state.class = name;
    else state.class = (now.includes(name) ? others : [...now, name]).join(",") || name;
    changed("anew");
  }

  const tabs = el("div", { className: "live-tabs", role: "group", "aria-label": "Model" });
  for (const [name, { title, about }] of Object.entries(MODELS)) {
    const tab = button(title, `${about}: ${title}`, () => {
      if (state.model == name) return;
      choose(state, "model", name);
      changed("model");
    });
    tab.dataset.name = name;
    tabs.append(tab);
  }

  function press(group, isOn) {
    for (const b of group.querySelectorAll("button")) b.setAttribute("aria-pressed", isOn(b));
  }
  return {
    tabs, classes, knobs,
    fit({ names, sched }) { // to a model
      const known = [...new Set(state.class.split(","))].filter(name => names.includes(name));
      if (names.length) state.class = known.join(",") || (names.includes("dog") ? "dog" : names[0]);
      several.checked = known.length > 1;
      const all = names.map(name => button(name, name, () => chooseClass(name)));
      classes.replaceChildren(...all, label);
      classes.hidden = away.hidden = !names.length;
      walk.hidden = to.hidden = names.length > 0;
      inputs.steps.max = Math.min(RANGES.steps[1], sched.T);
      state.steps = Math.min(state.steps, sched.T);
    },
    refresh() {
      for (const [name, input] of Object.entries(inputs)) input.value = state[name];
      for (const [name, output] of Object.entries(values)) output.textContent = state[name];
      eta.hidden = state.sampler != "ddim";
      const chosen = state.class.split(",");
      press(classes, b => chosen.includes(b.textContent));
      press(tabs, b => b.dataset.name == state.model);
    },
  };
}
