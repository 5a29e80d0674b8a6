import assert from "node:assert/strict";
import test from "node:test";

import { finished } from "./finished.js";

test("the line says how it ended", () => {
  const lines = [];
  finished({ taskId: "t" }, { task: '{"status":"failed"}' }, (level, line) => lines.push([level, line]));
  assert.deepEqual(lines, [["info", "task t is failed"]]);
});
