// Which tickets a task mentions, and what is said of them. Plain functions, without the gateway.

/** The configuration as JSON Schema; the gateway holds the operator's against it. */
export const schema = {
  type: "object",
  properties: {
    url: {
      type: "string",
      pattern: "^https?://[^?#]+[^/?#]$",
      description: "Where the tracker has its tickets; the key of one is appended after a slash.",
    },
    max_tickets: { type: "integer", minimum: 1, maximum: 8 },
  },
  required: ["url"],
  additionalProperties: false,
};

const KEY = /\b[A-Z][A-Z0-9]{1,9}-[1-9][0-9]{0,6}\b/g;
// What agents say of standards and the like looks the same.
const NO_TICKETS = new Set(["UTF-8", "UTF-16", "UTF-32", "SHA-1", "SHA-256", "SHA-512", "ISO-8859"]);
// The members of a claim in which people write.
const TEXTS = [
  "thread_name",
  "trigger_comment_content",
  "chat_message",
  "quick_create_prompt",
  "autopilot_description",
];

/** The keys that the texts of a claim mention, each once, in their order, `most` at the most. */
export function keys(claim, most) {
  const found = TEXTS.flatMap((name) => String(claim[name] ?? "").match(KEY) ?? []);
  return [...new Set(found)].filter((key) => !NO_TICKETS.has(key)).slice(0, most);
}

/** What is appended to the instructions; empty for nothing. */
export function paragraph(tickets) {
  if (tickets.length === 0) return "";
  const lines = tickets.map(({ key, title, link }) => `- ${key}: ${oneLine(title)} (${oneLine(link)})`);
  return ["Tickets that this task mentions:", ...lines].join("\n");
}

/** What the tracker says is somebody's text, not an instruction: it stays on its line. */
function oneLine(text) {
  return String(text).replace(/\s+/g, " ").trim().slice(0, 300);
}

/** What bytes of UTF-8 say; the engine of plugins has no TextDecoder. */
export function text(bytes) {
  return decodeURIComponent(Array.from(bytes, (byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""));
}
