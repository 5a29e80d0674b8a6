import unittest

import squad_briefing


class Tests(unittest.TestCase):
    def test_skills_stand_behind_a_name(self):
        told = squad_briefing.briefing("Core", [("Ben", ["rust"]), ("Cem", None)])
        self.assertEqual(told, "You lead Core. With you are Ben (rust), Cem.")
        self.assertIsNone(squad_briefing.briefing("Core", []))
