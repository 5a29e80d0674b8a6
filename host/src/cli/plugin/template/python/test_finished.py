import unittest

import finished


class Tests(unittest.TestCase):
    def test_the_line_says_how_it_ended(self):
        self.assertEqual(finished.line("t", {"status": "failed"}), "task t is failed")
