// For checks, under Node: takes {code, given} as JSON, gives what the code returns as JSON. Tensors
// are {data} with float32 in base 64 on the way, and Float32Arrays here.
import { readFileSync } from "node:fs";
import * as network from "./unet.js";
import * as torch from "./torch.js";
import * as sampler from "./sampler.js";
import * as points from "./mixture.js";

const { code, given, wasm } = JSON.parse(readFileSync(0, "utf8"));

function floats({ data }) {
  const bytes = Buffer.from(data, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

const bytes = v => Buffer.from(v.buffer, v.byteOffset, v.byteLength);
const opened = Object.entries(given).map(([k, v]) => [k, v?.data == null ? v : floats(v)]);

async function open(folder) { // a checkpoint, as a model and its schedule
  const config = JSON.parse(readFileSync(`${folder}/config.json`, "utf8"));
  const file = readFileSync(`${folder}/model.safetensors`);
  const net = await network.unet(binary, config, new Uint8Array(file).buffer);
  const sched = sampler.schedule(config.schedule);
  return { net, predict: config.train?.predict, sched };
}

const binary = readFileSync(wasm), k = await network.kernels(binary);
const parts = { ...network, ...torch, ...sampler, ...points };
const scope = { ...parts, open, k, ...Object.fromEntries(opened) };
const run = Object.getPrototypeOf(async () => {}).constructor(...Object.keys(scope), code);
const out = await run(...Object.values(scope));
const pack = v => (v instanceof Float32Array ? { data: bytes(v).toString("base64") } : v);
console.log(JSON.stringify(out, (_, v) => pack(v)));
