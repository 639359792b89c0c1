// The checkpoint that is published, and networks in workers.
import { el } from "./dom.js";
import { schedule } from "./sampler.js";

const lost = (file, why) =>
  `The network did not load (${file}: ${why}). Reload the page, or click again.`;

// A page that is opened from disk may not fetch, but it may load a script.
function fromDisk(folder) {
  return new Promise((done, fail) => {
    const script = el("script", { src: `${folder}/model.js` });
    script.take = (config, text) =>
      done({ config, file: Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer });
    window.tinydiffCheckpoint = (...what) => document.currentScript.take(...what);
    script.onerror = () => fail(Error(lost("model.js", "it is not there")));
    script.onload = () => fail(Error(lost("model.js", "it is not whole"))); // no effect once done
    document.head.append(script);
  });
}

async function fromServer(folder) {
  const get = async (name, kind) => {
    try {
      const answer = await fetch(`${folder}/${name}`);
      if (!answer.ok) throw Error(`the server answers ${answer.status}`);
      return await answer[kind]();
    } catch (error) {
      throw Error(lost(name, error.message));
    }
  };
  const all = [get("config.json", "json"), get("model.safetensors", "arrayBuffer")];
  const [config, file] = await Promise.all(all);
  return { config, file };
}

// A network in each of n workers: net(x, t, c) is a promise. They share no memory, for that needs
// a server that sends special headers; each has its own copy of the weights.
async function networks(n, make) {
  const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
  const waiting = new Map();
  let last = 0, turn = 0;
  const send = (worker, message) => new Promise((done, fail) => {
    waiting.set(++last, { done, fail });
    worker.postMessage({ id: last, ...message });
  });
  const workers = Array.from({ length: n }, () => {
    const worker = new Worker(url);
    worker.onmessage = ({ data: { id, out, error } }) => {
      const { done, fail } = waiting.get(id) ?? {};
      waiting.delete(id);
      error ? fail?.(Error(error)) : done?.(out);
    };
    worker.onerror = e => {
      for (const { fail } of waiting.values()) fail(Error(e.message || "no worker starts here"));
      waiting.clear();
    };
    return worker;
  });
  try {
    await Promise.all(workers.map(worker => send(worker, { make })));
  } catch (error) {
    workers.forEach(worker => worker.terminate());
    throw error;
  } finally {
    URL.revokeObjectURL(url);
  }
  return (x, t, c) => send(workers[turn++ % n], { ask: { x, t, c } });
}

const models = {}; // that have been opened, by folder

function openOne(folder, wasm) {
  models[folder] ??= (async () => {
    const { config, file } = await (location.protocol == "file:" ? fromDisk : fromServer)(folder);
    const cores = Math.min(2, navigator.hardwareConcurrency || 1);
    const net = await networks(cores, { wasm, config, file });
    const { image_size: size, channels } = config.model, { classes: names, about } = config.data;
    const { predict } = config.train, sched = schedule(config.schedule);
    return { net, predict, sched, names, about, size, count: channels * size ** 2 };
  })();
  models[folder].catch(() => delete models[folder]); // so that it can be tried again
  return models[folder];
}

// The model of a state, with the weak one that it is guided by, if there is any.
export async function openModel(folder, wasm, { model, away }) {
  const names = away == "weak" ? [model, `${model}-weak`] : [model];
  const [strong, weak] = await Promise.all(names.map(name => openOne(`${folder}/${name}`, wasm)));
  return { ...strong, weak };
}
