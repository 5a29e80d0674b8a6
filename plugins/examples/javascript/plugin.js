// Tells an agent about the tickets that its task mentions: it finds keys such as ABC-123 in the
// claim, asks the tracker for each, and appends title and link to the instructions. Here is
// what the gateway calls; what is decided stands in tickets.js, which node can test.

import { write } from "switchyard:plugin/log@1.0.0";
import { send } from "switchyard:plugin/http@1.0.0";
import { reference } from "switchyard:plugin/secrets@1.0.0";

import { keys, paragraph, schema, text } from "./tickets.js";

export const manifest = {
  describe: () => ({
    name: "ticket-lookup",
    version: "1.0.0",
    summary: "Appends title and link of the tickets that a task mentions.",
    configSchema: JSON.stringify(schema),
    attributes: [],
  }),
};

export const enrichment = {
  enrich(call, input) {
    const config = JSON.parse(call.config);
    const found = keys(JSON.parse(input.claim), config.max_tickets ?? 3);
    const tickets = found.map((key) => ticket(config.url, key)).filter((ticket) => ticket !== null);
    const text = paragraph(tickets);
    return { tag: "patch", val: text === "" ? [] : [{ tag: "append-instructions", val: text }] };
  },
};

/** Asks the tracker for one ticket; null when it has none of this key. */
function ticket(url, key) {
  const response = send({
    method: "GET",
    url: `${url}/${key}`,
    // The secret itself never comes here: the host puts it in the place of the reference.
    headers: [{ name: "authorization", value: `Bearer ${reference("tracker")}` }],
    body: null,
    timeoutMs: 500,
    attributes: [],
  });
  if (response.status === 404) return null;
  if (response.status !== 200) {
    write("warn", `the tracker answered ${response.status} for ${key}`);
    return null;
  }
  const { title, url: link } = JSON.parse(text(response.body));
  return { key, title, link };
}
