import unittest

import enrichment


class Tests(unittest.TestCase):
    def test_the_notice_is_trimmed(self):
        self.assertEqual(enrichment.notice({"notice": " Be kind. "}), "Be kind.")
        self.assertEqual(enrichment.notice({}), "")

    def test_a_forbidden_argument_is_found(self):
        claim = {"agent": {"custom_args": ["-v", "--x=1"]}}
        self.assertEqual(enrichment.denied_argument({"deny_args": ["--x"]}, claim), "--x=1")
        self.assertIsNone(enrichment.denied_argument({}, claim))
