import assert from "node:assert/strict";
import test from "node:test";

import { columns, length, roundedUp } from "../../service/pageroles/web/scales.js";

test("an axis ends at a round number that is no less than what it shows", () => {
  assert.deepEqual([0, 1, 3, 4, 5, 11, 99, 101, 929, 1_000_001].map(roundedUp), [1, 1, 3, 4, 5, 15, 100, 150, 1000, 1_500_000]);
});

test("columns begin at zero, and what is not zero can be seen", () => {
  const drawn = columns([0, 50, 100, 0.001], { width: 40, height: 20, top: 100, gap: 0.5 });
  assert.deepEqual(drawn.map(({ height }) => height), [0, 10, 20, 1]);
  assert.deepEqual(drawn.map(({ y, height }) => y + height), [20, 20, 20, 20]);
  assert.deepEqual(drawn[1], { x: 12.5, y: 10, width: 5, height: 10 });
  assert.deepEqual(columns([], { width: 40, height: 20, top: 1 }), []);
});

test("a bar is a share of the largest", () => {
  assert.deepEqual([length(5, 10), length(1, 1_000_000), length(0, 10), length(0, 0)], [50, 1, 0, 0]);
});
