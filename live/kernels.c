// What the UNet of chapter 2 multiplies, adds and averages, for WebAssembly with SIMD. Appendix 94
// derives it; "Eq." without a chapter is an equation there. There is no library and no allocator
// here: JavaScript hands out addresses. An image is C planes of H x W floats, one after another.

#include <wasm_simd128.h>

typedef float f4 __attribute__((ext_vector_type(4)));  // four numbers that are computed at once
typedef int i4 __attribute__((ext_vector_type(4)));
#define KERNEL __attribute__((visibility("default")))  // what JavaScript can call
#define UNROLL _Pragma("unroll")                       // a loop whose variables are registers

static inline f4 load(const float *p) { return (f4)wasm_v128_load(p); }
static inline void store(float *p, f4 a) { wasm_v128_store(p, (v128_t)a); }
static inline float sum(f4 a) { return a.x + a.y + a.z + a.w; }
static inline int up_to(int n, int unit) { return (n + unit - 1) / unit * unit; }

// --- The matrix product, Eq. (1) ---------------------------------------------------------------

// Four rows by eight columns of a product: eight accumulators, which stay in registers.
// Row i of a begins at a + i, and the next k is a_next further on; b likewise, by columns.
static inline void tile(const float *a, int a_next, const float *b, int b_next, int K,
                        const float *bias, const float *residual, float *y, int y_row) {
  f4 left[4], right[4];
  UNROLL for (int i = 0; i < 4; i++) left[i] = right[i] = bias ? bias[i] : 0;
  for (int k = 0; k < K; k++, a += a_next, b += b_next) {
    f4 b_left = load(b), b_right = load(b + 4);
    UNROLL for (int i = 0; i < 4; i++) {
      left[i] += a[i] * b_left;
      right[i] += a[i] * b_right;
    }
  }
  for (int i = 0; i < 4; i++) {
    if (residual) {
      left[i] += load(residual + i * y_row);
      right[i] += load(residual + i * y_row + 4);
    }
    store(y + i * y_row, left[i]);
    store(y + i * y_row + 4, right[i]);
  }
}

// y (M, N) = a (M, K) b (K, N) + bias (M) + residual (M, N), the last two if there are any.
// Four rows of a lie together (see `pack`), a_group apart; eight columns of b, b_panel apart.
KERNEL void matmul(const float *a, int a_group, int a_next, const float *b, int b_panel, int b_next,
                   int M, int K, int N, const float *bias, const float *residual, float *y) {
  for (int n = 0; n < N; n += 8)
    for (int m = 0; m < M; m += 4)
      tile(a + m / 4 * a_group, a_next, b + n / 8 * b_panel, b_next, K, bias ? bias + m : 0,
           residual ? residual + m * N + n : 0, y + m * N + n, N);
}

// Rows of a (M, K) in groups of four, as `matmul` reads them: (M/4, K, 4), zeros in missing rows.
KERNEL void pack(const float *a, int M, int K, float *packed) {
  for (int m = 0; m < up_to(M, 4); m++)
    for (int k = 0; k < K; k++)
      packed[(m / 4 * K + k) * 4 + m % 4] = m < M ? a[m * K + k] : 0;
}

// A 1x1 convolution is a matrix product: at each of the N positions, (M, K) times K channels.
KERNEL void conv1(const float *x, int K, int N, const float *packed, const float *bias, int M,
                  const float *residual, float *y) {
  matmul(packed, 4 * K, 4, x, 8, N, M, K, N, bias, residual, y);
}

// y (M) = w (M, K) x (K) + b: what the embeddings go through.
KERNEL void linear(const float *x, int K, const float *w, const float *b, int M, float *y) {
  for (int m = 0; m < M; m++, w += K) {
    f4 total = 0;
    for (int k = 0; k < K; k += 4) total += load(w + k) * load(x + k);
    y[m] = b[m] + sum(total);
  }
}

// --- The 3x3 convolution, by Winograd's trick --------------------------------------------------

// G of Eq. (4): three weights become four.
static inline void filter(float g0, float g1, float g2, float *u) {
  u[0] = g0;
  u[1] = (g0 + g1 + g2) / 2;
  u[2] = (g0 - g1 + g2) / 2;
  u[3] = g2;
}

// The weights w (M, K, 3, 3) as sixteen packed matrices G w G', Eq. (5): (16, M/4, K, 4).
KERNEL void weights3(const float *w, int M, int K, float *u) {
  int size = up_to(M, 4) * K;
  for (int i = 0; i < 16 * size; i++) u[i] = 0;
  for (int m = 0; m < M; m++)
    for (int k = 0; k < K; k++, w += 9) {
      float columns[3][4], row[4];  // G w, its columns apart
      for (int j = 0; j < 3; j++) filter(w[j], w[3 + j], w[6 + j], columns[j]);
      for (int i = 0; i < 4; i++) {
        filter(columns[0][i], columns[1][i], columns[2][i], row);
        for (int j = 0; j < 4; j++) u[(4 * i + j) * size + (m / 4 * K + k) * 4 + m % 4] = row[j];
      }
    }
}

// B' of Eq. (4): four neighbors become what the four weights are multiplied with.
static inline void spread(const f4 *d, int next, f4 *v) {
  v[0] = d[0] - d[2 * next];
  v[1] = d[next] + d[2 * next];
  v[2] = d[2 * next] - d[next];
  v[3] = d[next] - d[3 * next];
}

// One plane with zeros around it, its even and its odd columns apart, so that four tiles, which
// begin two columns apart, are read at once: row i holds its even columns, then its odd ones.
static inline void halves(const float *x, int H, int W, int half, float *padded) {
  for (int i = 0; i < (H + 2) * 2 * half; i += 4) store(padded + i, 0);
  for (int i = 0; i < H; i++)
    for (int j = 0; j < W; j++)
      padded[(2 * (i + 1) + (j + 1) % 2) * half + (j + 1) / 2] = x[i * W + j];
}

// The tiles of x (K, H, W) as sixteen matrices B' d B, Eq. (5): (16, tiles/8, K, 8).
static inline void tiles3(const float *x, int K, int H, int W, int across, float *padded,
                          float *v) {
  int tiles = across * H / 2, half = across + 4;
  for (int k = 0; k < K; k++) {
    halves(x + k * H * W, H, W, half, padded);
    for (int t = 0; t < tiles; t += 4) {
      const float *corner = padded + t / across * 4 * half + t % across;
      f4 d[16], rows[4][4], row[4];
      UNROLL for (int i = 0; i < 16; i++)
        d[i] = load(corner + (i / 4 * 2 + i % 2) * half + i % 4 / 2);
      UNROLL for (int j = 0; j < 4; j++) spread(d + j, 4, rows[j]);
      UNROLL for (int i = 0; i < 4; i++) {
        f4 line[4] = {rows[0][i], rows[1][i], rows[2][i], rows[3][i]};
        spread(line, 1, row);
        UNROLL for (int j = 0; j < 4; j++)
          store(v + (4 * i + j) * K * tiles + (t / 8 * K + k) * 8 + t % 8, row[j]);
      }
    }
  }
}

// A' of Eq. (4): four products become two neighbors of the result.
static inline void gather(const f4 *p, int next, f4 *y) {
  y[0] = p[0] + p[next] + p[2 * next];
  y[1] = p[next] - p[2 * next] - p[3 * next];
}

// The result y (M, H, W) from the sixteen products (16, M, tiles), Eq. (5): A' p A + bias.
static inline void join3(const float *products, int M, int H, int W, int across, const float *bias,
                         const float *residual, float *y) {
  int tiles = across * H / 2;
  for (int m = 0; m < M; m++)
    for (int t = 0; t < tiles; t += 4) {
      f4 p[16], rows[4][2], pair[2];
      UNROLL for (int i = 0; i < 16; i++) p[i] = load(products + (i * up_to(M, 4) + m) * tiles + t);
      UNROLL for (int j = 0; j < 4; j++) gather(p + j, 4, rows[j]);
      UNROLL for (int i = 0; i < 2; i++) {
        f4 line[4] = {rows[0][i], rows[1][i], rows[2][i], rows[3][i]};
        gather(line, 1, pair);
        f4 even = pair[0] + bias[m], odd = pair[1] + bias[m];
        int column = 2 * (t % across), at = (m * H + t / across * 2 + i) * W + column;
        if (column < W) {  // tiles beyond the right edge are not wanted
          f4 part = __builtin_shufflevector(even, odd, 0, 4, 1, 5);
          store(y + at, residual ? part + load(residual + at) : part);
        }
        if (column + 4 < W) {
          f4 part = __builtin_shufflevector(even, odd, 2, 6, 3, 7);
          store(y + at + 4, residual ? part + load(residual + at + 4) : part);
        }
      }
    }
}

// y (M, H, W) = the 3x3 convolution of x (K, H, W) with zeros around it, + bias + residual.
// H and W are multiples of four; u is from `weights3`; padded, v and products are working space.
KERNEL void conv3(const float *x, int K, int H, int W, const float *u, const float *bias, int M,
                  const float *residual, float *y, float *padded, float *v, float *products) {
  int across = up_to(W / 2, 4), tiles = across * H / 2, rows = up_to(M, 4);
  tiles3(x, K, H, W, across, padded, v);
  for (int i = 0; i < 16; i++)
    matmul(u + i * rows * K, 4 * K, 4, v + i * K * tiles, 8 * K, 8, rows, K, tiles, 0, 0,
           products + i * rows * tiles);
  join3(products, M, H, W, across, bias, residual, y);
}

// --- What is not linear ------------------------------------------------------------------------

// e^x by Eq. (6): a whole power of two, which goes into the exponent's bits, and a short series.
static inline f4 exponential(f4 x) {
  x = (f4)wasm_f32x4_pmax((v128_t)(f4)-87, wasm_f32x4_pmin((v128_t)(f4)88, (v128_t)x));
  f4 n = (f4)wasm_f32x4_nearest((v128_t)(x * 1.44269504f));
  f4 r = x - n * 0.693359375f + n * 2.12194440e-4f;  // ln 2 in two parts, the first one exact
  f4 series = 1.f / 5040;
  series = series * r + 1.f / 720;
  series = series * r + 1.f / 120;
  series = series * r + 1.f / 24;
  series = series * r + 1.f / 6;
  series = series * r + 1.f / 2;
  series = series * r + 1;
  series = series * r + 1;
  i4 power = (__builtin_convertvector(n, i4) + 127) << 23;
  return series * (f4)power;
}

static inline f4 silu4(f4 x) { return x / (1 + exponential(-x)); }

// SiLU, x / (1 + e^-x), of n numbers.
KERNEL void silu(const float *x, int n, float *y) {
  for (int i = 0; i < n; i += 4) store(y + i, silu4(load(x + i)));
}

// GroupNorm of x (C, N), chapter 2, Eq. (6), then scale and shift (2C) by Eq. (7) if there are any,
// then SiLU if `act`. All that happens to a channel is k x + b, so the image is read three times.
KERNEL void norm(const float *x, int C, int N, int groups, const float *gamma, const float *delta,
                 const float *scale_shift, int act, float *y) {
  int each = C / groups, n = each * N;
  for (int g = 0; g < groups; g++) {
    const float *group = x + g * n;
    f4 total = 0, squares = 0;
    for (int i = 0; i < n; i += 4) total += load(group + i);
    float mean = sum(total) / n;
    for (int i = 0; i < n; i += 4) {
      f4 d = load(group + i) - mean;
      squares += d * d;
    }
    float one_by_deviation = 1 / __builtin_sqrtf(sum(squares) / n + 1e-5f);
    for (int c = g * each; c < (g + 1) * each; c++) {
      float k = one_by_deviation * gamma[c], b = delta[c] - mean * k;
      if (scale_shift) {
        k *= 1 + scale_shift[c];
        b = b * (1 + scale_shift[c]) + scale_shift[C + c];
      }
      for (int i = c * N; i < (c + 1) * N; i += 4) {
        f4 z = load(x + i) * k + b;
        store(y + i, act ? silu4(z) : z);
      }
    }
  }
}

// One head of attention, chapter 2, Eq. (8): q, k, v and y are (d, N), N a multiple of eight.
// Working space: N*N weights, then d*N for v, packed.
KERNEL void attend(const float *q, const float *k, const float *v, int d, int N, float *y,
                   float *space) {
  float *weights = space, *packed = space + N * N, scale = 1 / __builtin_sqrtf(d);
  matmul(k, 4, N, q, 8, N, N, d, N, 0, 0, weights);  // (key, query): k read by columns is k'
  for (float *w = weights; w < weights + N; w += 4) {  // softmax over keys, of four queries at once
    f4 most = load(w), total = 0;
    for (int i = 1; i < N; i++)
      most = (f4)wasm_f32x4_pmax((v128_t)most, (v128_t)load(w + i * N));
    for (int i = 0; i < N; i++) {
      f4 e = exponential((load(w + i * N) - most) * scale);
      total += e;
      store(w + i * N, e);
    }
    for (int i = 0; i < N; i++) store(w + i * N, load(w + i * N) / total);
  }
  pack(v, d, N, packed);
  matmul(packed, 4 * N, 4, weights, 8, N, d, N, N, 0, 0, y);
}

// --- Sizes and storage -------------------------------------------------------------------------

// Means of 2x2 pixels: (C, H, W) -> (C, H/2, W/2).
KERNEL void pool(const float *x, int C, int H, int W, float *y) {
  for (int i = 0; i < C * H / 2; i++, x += 2 * W)
    for (int j = 0; j < W; j += 2) *y++ = (x[j] + x[j + 1] + x[W + j] + x[W + j + 1]) / 4;
}

// Each pixel four times: (C, H, W) -> (C, 2H, 2W).
KERNEL void enlarge(const float *x, int C, int H, int W, float *y) {
  for (int i = 0; i < 2 * C * H; i++)
    for (int j = 0; j < 2 * W; j++) *y++ = x[i / 2 * W + j / 2];
}

// Half precision to float, Eq. (7): the bits move to their new places, and a product with 2^112
// mends the exponent, also of the small numbers that have none.
KERNEL void half(const unsigned short *x, int n, float *y) {
  for (int i = 0; i < n; i++) {
    union { unsigned bits; float value; } f = {.bits = (x[i] & 0x7fffu) << 13};
    f.value *= 0x1p112f;
    f.bits |= (x[i] & 0x8000u) << 16;
    y[i] = f.value;
  }
}
