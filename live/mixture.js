// The exact denoiser of the spiral, ε = ask(x, t, c) for points x (x and y in turn) and all of one
// label, -1 for none: `mixture_denoiser`, chapter 1, Eqs. (12) and (13).
export function mixture({ alphaBar }, { means, arm }, sd) {
  const K = arm.length, logit = new Float64Array(K);
  return (x, t, c) => {
    const a = Math.sqrt(alphaBar[t]), noise = 1 - alphaBar[t], total = a * a * sd * sd + noise;
    const eps = new Float32Array(x.length), pull = (a * sd * sd) / total;
    for (let i = 0; i < x.length; i += 2) {
      let top = -Infinity, sum = 0, mx = 0, my = 0;
      for (let k = 0; k < K; k++) {
        const dx = x[i] - a * means[2 * k], dy = x[i + 1] - a * means[2 * k + 1];
        logit[k] = c < 0 || arm[k] == c ? -(dx * dx + dy * dy) / (2 * total) : -Infinity;
        if (logit[k] > top) top = logit[k];
      }
      for (let k = 0; k < K; k++) {
        const share = Math.exp(logit[k] - top);
        sum += share;
        mx += share * means[2 * k];
        my += share * means[2 * k + 1];
      }
      [mx / sum, my / sum].forEach((mean, j) => { // E[x_0 | x_t] is the mean, pulled to x_t
        const x0 = mean + pull * (x[i + j] - a * mean);
        eps[i + j] = (x[i + j] - a * x0) / Math.sqrt(noise);
      });
    }
    return eps;
  };
}

// Log density of clean points of one label, up to a constant.
export function logDensity({ means, arm }, sd) {
  return (x, y, c) => {
    let top = -Infinity, sum = 0, count = 0;
    const terms = [];
    for (let k = 0; k < arm.length; k++) {
      if (c >= 0 && arm[k] != c) continue;
      const l = -((x - means[2 * k]) ** 2 + (y - means[2 * k + 1]) ** 2) / (2 * sd * sd);
      terms.push(l);
      top = Math.max(top, l);
      count++;
    }
    for (const l of terms) sum += Math.exp(l - top);
    return top + Math.log(sum / count);
  };
}

// For each point the nearest center, and how far it is; of one label, or of all.
export function nearest({ means, arm }, x, c = -1) {
  return Array.from({ length: x.length / 2 }, (_, i) => {
    let best = { far: Infinity };
    for (let k = 0; k < arm.length; k++) {
      const far = Math.hypot(x[2 * i] - means[2 * k], x[2 * i + 1] - means[2 * k + 1]);
      if (far < best.far && (c < 0 || arm[k] == c)) best = { far, k };
    }
    return best;
  });
}
