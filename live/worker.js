// What a worker does: it makes a network once, then answers.
import { unet } from "./unet.js";

let net;
onmessage = async ({ data: { id, make, ask } }) => {
  try {
    if (make) net = await unet(make.wasm, make.config, make.file);
    const out = ask && net(ask.x, ask.t, ask.c);
    postMessage({ id, out }, out ? [out.buffer] : []);
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
