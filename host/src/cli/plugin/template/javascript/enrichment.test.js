import assert from "node:assert/strict";
import test from "node:test";

import { enrich } from "./enrichment.js";

const decision = (config, claim) =>
  enrich({ config: JSON.stringify(config) }, { claim: JSON.stringify(claim) }, () => {});

test("the notice is appended", () => {
  const expected = { tag: "patch", val: [{ tag: "append-instructions", val: "Be kind." }] };
  assert.deepEqual(decision({ notice: " Be kind. " }, { agent: {} }), expected);
  assert.deepEqual(decision({}, {}), { tag: "patch", val: [] });
});

test("a forbidden argument stops the task", () => {
  const denied = decision({ deny_args: ["--x"] }, { agent: { custom_args: ["-v", "--x=1"] } });
  assert.equal(denied.val.code, "argument-denied");
});
