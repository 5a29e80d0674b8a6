import unittest

import budget


class Tests(unittest.TestCase):
    def test_a_day_ends_at_midnight_utc(self):
        self.assertEqual(budget.day(1_785_542_399_999), "2026-07-31")
        self.assertEqual(budget.day(1_785_542_400_000), "2026-08-01")

    def test_what_is_over_the_budget_is_denied(self):
        self.assertFalse(budget.verdict(20, 20, "d").denied)
        self.assertTrue(budget.verdict(20, 21, "d").denied)

    def test_the_last_tenth_is_announced(self):
        self.assertEqual(budget.verdict(20, 18, "d").reason, "")
        self.assertIn("1 more tasks", budget.verdict(20, 19, "d").reason)
