import assert from "node:assert/strict";
import test from "node:test";

import { brief } from "./squad-briefing.js";

test("skills stand behind a name", () => {
  const members = [{ id: "a", name: "Ada" }, { id: "b", name: "Ben", skills: ["rust"] }];
  assert.equal(brief({}, { leaderId: "a", squadName: "Core", members }), "You lead Core. With you are Ben (rust).");
  assert.equal(brief({}, { leaderId: "a", squadName: "Core", members: [] }), null);
});
