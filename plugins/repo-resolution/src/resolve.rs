//! Which list counts. The two are never mixed.

use serde::Deserialize;
use switchyard_sdk::repo_resolution::{Resolution, Resource};
use switchyard_sdk::{Repo, TaskKind};

/// The repositories of the project when it has any, otherwise the workspace's list. Chats
/// and runs of autopilots belong to no project.
pub fn resolve(kind: TaskKind, resources: &[Resource]) -> Resolution {
    if matches!(kind, TaskKind::Chat | TaskKind::Autopilot) {
        return Resolution::Workspace;
    }
    let repos: Vec<Repo> = resources.iter().filter_map(repo).collect();
    if repos.is_empty() { Resolution::Workspace } else { Resolution::These(repos) }
}

/// What a resource says of its repository; the other members of the object do not matter.
#[derive(Deserialize)]
struct Reference {
    url: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// The repository a resource stands for; `None` when it is another kind of resource or
/// names no URL.
fn repo(resource: &Resource) -> Option<Repo> {
    if resource.resource_type != "github_repo" {
        return None;
    }
    let text = resource.resource_ref.trim_start();
    // A struct would also be read from a JSON array.
    let found: Reference = serde_json::from_str(text).ok().filter(|_| text.starts_with('{'))?;
    let url = found.url.filter(|url| !url.is_empty())?;
    let reference = found.reference.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    Some(Repo { url, description: None, ref_: reference })
}
