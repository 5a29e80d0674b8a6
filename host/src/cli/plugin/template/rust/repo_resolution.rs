//! The repositories of the task's project, else those of the workspace.

use serde::Deserialize;
use switchyard_sdk::repo_resolution::{Input, RepoResolution, Resolution};
use switchyard_sdk::{Call, Failure, Repo};

use crate::Served;

#[derive(Deserialize)]
struct Reference {
    url: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

impl RepoResolution for Served {
    fn resolve(_: &Call, input: Input) -> Result<Resolution, Failure> {
        let mut repos = Vec::new();
        for resource in input.resources {
            if resource.resource_type != "github_repo" {
                continue;
            }
            let Ok(found) = serde_json::from_str::<Reference>(&resource.resource_ref) else { continue };
            repos.push(Repo { url: found.url, description: resource.label, ref_: found.reference });
        }
        Ok(if repos.is_empty() { Resolution::Workspace } else { Resolution::These(repos) })
    }
}

#[cfg(test)]
mod tests {
    use switchyard_sdk::TaskKind;
    use switchyard_sdk::repo_resolution::Resource;

    use super::*;

    fn resolve(reference: &str) -> Result<Resolution, Failure> {
        let resource = Resource {
            id: String::new(),
            resource_type: "github_repo".into(),
            resource_ref: reference.into(),
            label: None,
        };
        let input = Input {
            kind: TaskKind::Direct,
            resources: vec![resource],
            workspace_repos: Vec::new(),
            attributes: Vec::new(),
        };
        Served::resolve(&Call::with_config("{}"), input)
    }

    #[test]
    fn the_projects_repositories_go_first() {
        let repo = Repo { url: "u".into(), description: None, ref_: None };
        assert_eq!(resolve(r#"{"url":"u"}"#), Ok(Resolution::These(vec![repo])));
        assert_eq!(resolve("{}"), Ok(Resolution::Workspace));
    }
}
