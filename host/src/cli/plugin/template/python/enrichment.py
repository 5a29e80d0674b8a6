"""Stage `enrichment`: the operator's notice, and arguments nobody may use."""

# The configuration as JSON Schema; the gateway holds the operator's against it.
SCHEMA = {
    "type": "object",
    "properties": {
        "notice": {"type": "string", "maxLength": 4096},
        "deny_args": {"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1}},
    },
    "additionalProperties": False,
}


def denied_argument(config: dict, claim: dict) -> str | None:
    """The first argument of the agent that is on the operator's list."""
    arguments = (claim.get("agent") or {}).get("custom_args") or []
    return next((given for given in arguments if given.split("=")[0] in config.get("deny_args", [])), None)


def notice(config: dict) -> str:
    """What is appended to the agent's instructions; empty for nothing."""
    return config.get("notice", "").strip()
