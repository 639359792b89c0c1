// torch.randn for a seed, number for number, on a CPU: `torch.Generator().manual_seed(seed)`.

// The Mersenne Twister, 32 bits at a time: appendix 94, Eqs. (8) and (9).
function twister(seed) {
  const N = 624, state = new Uint32Array(N);
  let next = N;
  state[0] = seed;
  for (let i = 1; i < N; i++) {
    const before = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, before) + i;
  }
  function turn() {
    for (let i = 0; i < N; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % N] & 0x7fffffff);
      state[i] = state[(i + 397) % N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    next = 0;
  }
  return () => {
    if (next == N) turn();
    let y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// A generator: randn(n) is its next n normal numbers, n a multiple of 16.
export function generator(seed) {
  const bits = twister(seed);
  return function randn(n) {
    if (n % 16) throw Error("torch orders other counts than multiples of 16 differently");
    const z = new Float32Array(n), u = new Float64Array(16);
    for (let k = 0; k < n; k += 16) {
      for (let j = 0; j < 16; j++) u[j] = (bits() & 0xffffff) / 2 ** 24; // 24 bits fill a float
      for (let j = 0; j < 8; j++) { // Box and Muller's pairs, eight at a time: Eq. (10)
        const radius = Math.sqrt(-2 * Math.log(1 - u[j])), angle = 2 * Math.PI * u[j + 8];
        z[k + j] = radius * Math.cos(angle);
        z[k + j + 8] = radius * Math.sin(angle);
      }
    }
    return z;
  };
}
