import assert from "node:assert/strict";
import test from "node:test";

import { merge } from "./mcp-overlay.js";

test("servers are added", () => {
  const merged = merge({}, { agentConfig: '{"mcpServers":{"a":{}}}', overlay: '{"mcpServers":{"b":{}}}' });
  assert.deepEqual(JSON.parse(merged.val), { mcpServers: { a: {}, b: {} } });
  assert.deepEqual(merge({}, { agentConfig: "{}", overlay: null }), { tag: "agent-config" });
});
