// Stage `mcp-overlay`: the overlay's servers beside the agent's own.

/** Called for a claimed task that has a configuration or an overlay. */
export function merge(call, input) {
  if (input.overlay == null) return { tag: "agent-config" };
  const config = JSON.parse(input.agentConfig ?? "{}");
  config.mcpServers = { ...config.mcpServers, ...JSON.parse(input.overlay).mcpServers };
  return { tag: "config", val: JSON.stringify(config) };
}
