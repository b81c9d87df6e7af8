// Scales of drawings. Pure.

// Returns the least round number that is not below `most`: the top of an axis.
export function roundedUp(most) {
  if (most <= 4) return Math.max(1, most);
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * unit).find((step) => step >= most);
}

// Returns the columns of a series in a box: x, y, width and height of each, from zero up.
export function columns(values, { width, height, top, gap = 0.28 }) {
  const step = width / Math.max(1, values.length);
  return values.map((value, at) => {
    const tall = value === 0 ? 0 : Math.max(1, (value / top) * height);
    return { x: at * step + (step * gap) / 2, y: height - tall, width: step * (1 - gap), height: tall };
  });
}

// Returns the share of the largest, in percent, so that one that is not zero can be seen.
export function length(value, most) {
  return value === 0 || most === 0 ? 0 : Math.max(1, (100 * value) / most);
}
