import unittest

import repo_resolution


class Tests(unittest.TestCase):
    def test_only_repositories_are_taken(self):
        given = [("github_repo", {"url": "u", "ref": "main"}, "U"), ("local_directory", {"url": "v"}, None)]
        self.assertEqual(repo_resolution.repos(given), [("u", "U", "main")])
