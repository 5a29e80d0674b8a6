import unittest

import mcp_overlay


class Tests(unittest.TestCase):
    def test_servers_are_added(self):
        merged = mcp_overlay.merged({"mcpServers": {"a": {}}, "x": 1}, {"mcpServers": {"b": {}}})
        self.assertEqual(merged, {"mcpServers": {"a": {}, "b": {}}, "x": 1})
