

class RepoResolution(exports.RepoResolution):
    def resolve(self, call, input):
        given = [(each.resource_type, json.loads(each.resource_ref), each.label) for each in input.resources]
        repos = [Repo(*repo) for repo in repo_resolution.repos(given)]
        return Resolution_These(repos) if repos else Resolution_Workspace()
