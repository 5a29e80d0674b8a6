import assert from "node:assert/strict";
import test from "node:test";

import { prepare } from "./prepare.js";

test("only what is allowed is attached", () => {
  const accounts = [{ toolkit: "notion" }, { toolkit: "slack" }];
  const output = prepare({}, { allowlist: ["notion"], accounts });
  assert.deepEqual(Object.keys(JSON.parse(output.overlay).mcpServers), ["notion"]);
  assert.equal(prepare({}, { allowlist: [], accounts }).overlay, null);
});
