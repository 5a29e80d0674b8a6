"""Stage `repo-resolution`: the repositories of the task's project, else those of the workspace."""


def repos(resources: list[tuple[str, dict, str | None]]) -> list[tuple[str, str | None, str | None]]:
    """URL, description and ref of each, from type, reference and label of each resource."""
    return [
        (reference["url"], label, reference.get("ref"))
        for kind, reference, label in resources
        if kind == "github_repo" and "url" in reference
    ]
