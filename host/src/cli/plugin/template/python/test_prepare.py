import unittest

import prepare


class Tests(unittest.TestCase):
    def test_only_what_is_allowed_is_attached(self):
        self.assertEqual(prepare.toolkits(["notion"], ["notion", "slack", "notion"]), ["notion"])
        self.assertEqual(list(prepare.overlay(["notion"])["mcpServers"]), ["notion"])
