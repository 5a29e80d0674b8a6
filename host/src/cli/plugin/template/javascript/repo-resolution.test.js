import assert from "node:assert/strict";
import test from "node:test";

import { resolve } from "./repo-resolution.js";

const resolved = (reference) =>
  resolve({}, { resources: [{ resourceType: "github_repo", resourceRef: JSON.stringify(reference) }] });

test("the project's repositories go first", () => {
  assert.equal(resolved({ url: "u", ref: "main" }).val[0].ref, "main");
  assert.deepEqual(resolved({}), { tag: "workspace" });
});
