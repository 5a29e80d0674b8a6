"""Stage `prepare`: a server for each connected app that the owner lets the agent use."""


def toolkits(allowlist: list[str], connected: list[str]) -> list[str]:
    """Each once, in the order of the accounts."""
    return [toolkit for toolkit in dict.fromkeys(connected) if toolkit in allowlist]


def overlay(toolkits: list[str]) -> dict:
    return {"mcpServers": {toolkit: {"url": f"https://mcp.example.com/{toolkit}"} for toolkit in toolkits}}
