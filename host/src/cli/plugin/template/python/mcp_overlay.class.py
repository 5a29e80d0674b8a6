

class McpOverlay(exports.McpOverlay):
    def merge(self, call, input):
        if input.overlay is None:
            return Merged_AgentConfig()
        config = json.loads(input.agent_config or "{}")
        return Merged_Config(json.dumps(mcp_overlay.merged(config, json.loads(input.overlay))))
