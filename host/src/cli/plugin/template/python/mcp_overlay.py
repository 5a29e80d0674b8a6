"""Stage `mcp-overlay`: the overlay's servers beside the agent's own."""


def merged(config: dict, overlay: dict) -> dict:
    return {**config, "mcpServers": {**config.get("mcpServers", {}), **overlay.get("mcpServers", {})}}
