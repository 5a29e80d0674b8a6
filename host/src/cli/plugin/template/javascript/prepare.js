// Stage `prepare`: a server for each connected app that the owner lets the agent use.

/** Called once for each task that is queued. */
export function prepare(call, input) {
  const connected = input.accounts.map((account) => account.toolkit);
  const toolkits = [...new Set(connected)].filter((toolkit) => input.allowlist.includes(toolkit));
  if (toolkits.length === 0) return { overlay: null, apps: [], attributes: [] };
  const server = (toolkit) => [toolkit, { url: `https://mcp.example.com/${toolkit}` }];
  return {
    overlay: JSON.stringify({ mcpServers: Object.fromEntries(toolkits.map(server)) }),
    apps: toolkits.map((toolkit) => ({ provider: "example", serverName: toolkit, toolkit, displayName: null })),
    attributes: [],
  };
}
