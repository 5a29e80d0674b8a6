// Stage `enrichment`: the operator's notice, and arguments nobody may use.

/** The configuration as JSON Schema; the gateway holds the operator's against it. */
export const schema = {
  type: "object",
  properties: {
    notice: { type: "string", maxLength: 4096 },
    deny_args: { type: "array", maxItems: 64, items: { type: "string", minLength: 1 } },
  },
  additionalProperties: false,
};

/** Called for every claimed task. `write` puts a line into the gateway's log. */
export function enrich(call, input, write) {
  const { notice = "", deny_args: denied = [] } = JSON.parse(call.config);
  const claim = JSON.parse(input.claim);
  const argument = (claim.agent?.custom_args ?? []).find((given) => denied.includes(given.split("=")[0]));
  if (argument !== undefined) {
    write("warn", `refused the argument ${argument}`);
    const reason = `the agent's argument ${argument} is forbidden here; remove it`;
    return { tag: "deny", val: { code: "argument-denied", reason } };
  }
  const text = notice.trim();
  return { tag: "patch", val: text === "" ? [] : [{ tag: "append-instructions", val: text }] };
}
