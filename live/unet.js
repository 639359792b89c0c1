// The UNet of chapter 2 on the kernels of kernels.c. It reads a checkpoint as it is published:
// config.json, and model.safetensors, which is a JSON index and then the numbers.

const sizeOf = shape => shape.reduce((a, b) => a * b, 1);
const upTo = (n, unit) => Math.ceil(n / unit) * unit;
const gcd = (a, b) => (b ? gcd(b, a % b) : a);
const headsOf = C => gcd(C, Math.max(1, Math.floor(C / 64))); // 64 channels each, as in `Attention`

// Memory that the kernels share with JavaScript, given out from the bottom up.
export async function kernels(wasm) {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 16384 });
  const { instance } = await WebAssembly.instantiate(wasm, { env: { memory } });
  const space = {
    top: 65536, // below it lies the stack of the kernels
    alloc(n) { // room for n floats: its address
      const at = space.top;
      space.top = upTo(at + 4 * n, 16);
      const missing = space.top - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / 65536));
      return at;
    },
    floats: (at, n) => new Float32Array(memory.buffer, at, n),
    bytes: (at, n) => new Uint8Array(memory.buffer, at, n),
    put(values) { // a copy of them: its address
      const at = space.alloc(values.length);
      space.floats(at, values.length).set(values);
      return at;
    },
  };
  return { ...instance.exports, space };
}

// What the kernels cannot do is refused by name.
export function check({ image_size, channels, ch, mult, attn, patch }) {
  const no = why => { throw Error(`This network cannot run here: ${why}.`); };
  mult.forEach((m, i) => {
    const side = image_size / patch / 2 ** i, C = ch * m, each = C / headsOf(C);
    if (side % 4) no(`level ${i} is ${side} positions wide, which is not a multiple of 4`);
    if (C % 4) no(`level ${i} has ${C} channels, which is not a multiple of 4`);
    if (!attn.includes(side)) return;
    if (each % 4) no(`its heads have ${each} channels`);
    if (side > 64) no(`attention over ${side} x ${side} positions is too large`);
  });
  if (channels * patch ** 2 > 64) no(`${channels} channels in patches of ${patch}`);
}

const CUT = "The file of the network is cut short. Reload the page.";

// The tensors of a safetensors file, as {name: {shape, dtype, bytes}}.
export function tensors(file) {
  const isCut = end => file.byteLength < end, view = new DataView(file);
  const length = isCut(8) ? Infinity : Number(view.getBigUint64(0, true));
  if (isCut(8 + length)) throw Error(CUT);
  const index = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length)));
  delete index.__metadata__;
  for (const t of Object.values(index)) {
    const [from, to] = t.data_offsets;
    if (isCut(8 + length + to)) throw Error(CUT);
    t.bytes = new Uint8Array(file, 8 + length + from, to - from);
  }
  return index;
}

// The addresses of all weights, as floats, those of convolutions packed for their kernels.
function unpack(k, index) {
  const { space } = k, at = {};
  const largest = Math.max(...Object.values(index).map(t => sizeOf(t.shape)));
  const raw = space.alloc(largest), wide = space.alloc(largest);
  for (const [name, { shape, dtype, bytes }] of Object.entries(index)) {
    const [M, K, side] = shape, n = sizeOf(shape), isConv = shape.length == 4;
    const floats = isConv ? wide : space.alloc(n);
    space.bytes(dtype == "F16" ? raw : floats, bytes.length).set(bytes);
    if (dtype == "F16") k.half(raw, n, floats);
    else if (dtype != "F32") throw Error(`${name} is ${dtype}: only F16 and F32 can be read here.`);
    at[name] = isConv ? space.alloc((side == 3 ? 16 : 1) * upTo(M, 4) * K) : floats;
    if (isConv) (side == 3 ? k.weights3 : k.pack)(wide, M, K, at[name]);
  }
  return name => {
    if (name in at) return at[name];
    throw Error(`This network cannot run here: its file has no ${name}.`);
  };
}

// A network: net(x, t, c) for one image (C*H*W), t in 1..T and a class, or -1 for none.
export async function unet(wasm, config, file) {
  const { image_size: size, channels, num_classes, ch, mult, blocks, attn, patch } = config.model;
  check(config.model);
  const k = await kernels(wasm), { space } = k, weight = unpack(k, tensors(file));
  const emb = 4 * ch, inside = channels * patch ** 2, side = size / patch;
  const image = channels * size ** 2;

  // Working space of `conv3` and `attend`, large enough for the largest level.
  const widest = i => 2 * ch * Math.max(mult[i], mult[i + 1] ?? 0); // below comes in beside
  const levels = mult.map((_, i) => ({ C: widest(i), H: side / 2 ** i }));
  const room = of => Math.max(...levels.map(of));
  const tilesOf = H => (upTo(H / 2, 4) * H) / 2;
  const padded = space.alloc(room(({ H }) => 2 * (H + 2) * (upTo(H / 2, 4) + 4)));
  const v = space.alloc(room(({ C, H }) => 16 * Math.max(C, upTo(inside, 4)) * tilesOf(H)));
  const products = space.alloc(room(({ C, H }) => 16 * Math.max(C, upTo(inside, 4)) * tilesOf(H)));
  const seen = levels.filter(({ H }) => attn.includes(H));
  const space2 = space.alloc(Math.max(0, ...seen.map(({ C, H }) => H ** 4 + C * H ** 2)));
  const start = space.top;

  // A tensor is its address, its channels C and its height and width H.
  const tensor = (C, H) => ({ at: space.alloc(C * H * H), C, H });
  const values = x => space.floats(x.at, x.C * x.H ** 2);

  function conv3(name, x, M, residual) {
    const y = tensor(M, x.H), w = weight(`${name}.weight`), b = weight(`${name}.bias`);
    k.conv3(x.at, x.C, x.H, x.H, w, b, M, residual?.at ?? 0, y.at, padded, v, products);
    return y;
  }
  function conv1(name, x, M, residual) {
    const y = tensor(M, x.H), w = weight(`${name}.weight`), b = weight(`${name}.bias`);
    k.conv1(x.at, x.C, x.H ** 2, w, b, M, residual?.at ?? 0, y.at);
    return y;
  }
  function linear(name, x, K, M) {
    const y = space.alloc(M);
    k.linear(x, K, weight(`${name}.weight`), weight(`${name}.bias`), M, y);
    return y;
  }
  function norm(name, x, { scaleShift = 0, act = 1 } = {}) { // chapter 2, Eqs. (6) and (7)
    const y = tensor(x.C, x.H), gamma = weight(`${name}.weight`), delta = weight(`${name}.bias`);
    k.norm(x.at, x.C, x.H ** 2, gcd(x.C / 4, 32), gamma, delta, scaleShift, act, y.at);
    return y;
  }
  function residual(name, x, M, e) { // `ResBlock`
    const h = conv3(`${name}.conv1`, norm(`${name}.norm1`, x), M);
    const scaleShift = linear(`${name}.emb`, e, emb, 2 * M);
    const shortcut = x.C == M ? x : conv1(`${name}.skip`, x, M);
    return conv3(`${name}.conv2`, norm(`${name}.norm2`, h, { scaleShift }), M, shortcut);
  }
  function attention(name, x) { // `Attention`, chapter 2, Eq. (8)
    const { C, H } = x, N = H * H, y = tensor(C, H);
    const qkv = conv1(`${name}.qkv`, norm(`${name}.norm`, x, { act: 0 }), 3 * C).at;
    const each = C / headsOf(C);
    for (let c = 0; c < C; c += each) {
      const [q, key, value] = [c, C + c, 2 * C + c].map(row => qkv + 4 * row * N);
      k.attend(q, key, value, each, N, y.at + 4 * c * N, space2);
    }
    return conv1(`${name}.out`, y, C, x);
  }
  function block(name, x, M, e) {
    const h = residual(`${name}.res`, x, M, e);
    return attn.includes(h.H) ? attention(`${name}.attn`, h) : h;
  }
  function concat(a, b) {
    const y = tensor(a.C + b.C, a.H);
    values(y).set(values(a));
    values(y).set(values(b), a.C * a.H ** 2);
    return y;
  }
  function resize(kernel, x, H) { // one of `pool` and `enlarge`
    const y = tensor(x.C, H);
    kernel(x.at, x.C, x.H, x.H, y.at);
    return y;
  }
  function embedding(t, c) { // chapter 2, Eqs. (3) and (4), two layers, and the row of the class
    const angle = i => t * Math.fround(Math.exp((-Math.log(10000) * i) / (ch / 2)));
    const waves = Float32Array.from({ length: ch }, (_, i) =>
      i < ch / 2 ? Math.sin(Math.fround(angle(i))) : Math.cos(Math.fround(angle(i - ch / 2))));
    const first = linear("time.0", space.put(waves), ch, emb);
    k.silu(first, emb, first);
    const e = linear("time.2", first, emb, emb);
    if (num_classes) {
      const row = c == null || c < 0 ? num_classes : c; // "no label" is the last row
      const label = space.floats(weight("label.weight") + 4 * row * emb, emb);
      space.floats(e, emb).forEach((value, i, all) => { all[i] = value + label[i]; });
    }
    k.silu(e, emb, e);
    return e;
  }
  // Where the pixels go: channel, row in a patch, column in a patch, then the patches.
  const order = [];
  for (let C = 0; C < channels; C++)
    for (let i = 0; i < patch ** 2; i++)
      for (let p = 0; p < side * side; p++) {
        const row = Math.floor(p / side) * patch + Math.floor(i / patch);
        order.push((C * size + row) * size + (p % side) * patch + (i % patch));
      }

  return function net(x, t, c) {
    if (x.length != image) throw Error(`an image has ${image} numbers here, not ${x.length}`);
    space.top = start;
    const e = embedding(t, c), patches = tensor(inside, side), skips = [];
    values(patches).set(order.map(i => x[i]));
    let h = conv3("inp", patches, ch);
    mult.forEach((m, i) => {
      if (i) h = resize(k.pool, h, h.H / 2);
      for (let j = 0; j < blocks; j++) skips.push(h = block(`downs.${i}.${j}`, h, ch * m, e));
    });
    for (const j of [0, 1]) h = block(`mid.${j}`, h, h.C, e);
    [...mult].reverse().forEach((m, i) => {
      if (i) h = resize(k.enlarge, h, 2 * h.H);
      for (let j = 0; j < blocks; j++)
        h = block(`ups.${i}.${j}`, concat(h, skips.pop()), ch * m, e);
    });
    const y = values(conv3("out.2", norm("out.0", h), inside)), out = new Float32Array(image);
    order.forEach((i, j) => { out[i] = y[j]; });
    return out;
  };
}
