// Stage `repo-resolution`: the repositories of the task's project, else those of the workspace.

/** Called for every claimed task. */
export function resolve(call, input) {
  const repos = input.resources
    .filter((resource) => resource.resourceType === "github_repo")
    .map((resource) => ({ ...JSON.parse(resource.resourceRef), label: resource.label }))
    .filter((found) => typeof found.url === "string")
    .map((found) => ({ url: found.url, description: found.label, ref: found.ref }));
  return repos.length === 0 ? { tag: "workspace" } : { tag: "these", val: repos };
}
