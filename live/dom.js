// Elements and pixels.
export function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) k in e ? (e[k] = v) : e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// What has words is named by them.
export const button = (text, title, onclick) => {
  const name = /\p{L}/u.test(text) ? {} : { "aria-label": title };
  return el("button", { type: "button", title, onclick, ...name }, text);
};

// A letter with an index, such as x_t.
export const indexed = (letter, index) => [
  el("i", { textContent: letter }), el("sub", { textContent: index }),
];

// An image (3, size, size) in [-1, 1], its pixels rounded as `to_uint8` rounds them.
export function paint(canvas, x, size, left = 0, top = 0) {
  const context = canvas.getContext("2d"), image = context.createImageData(size, size);
  const plane = size * size;
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = (x[c * plane + i] + 1) * 127.5;
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, left, top);
}
