//! Stage `repo-resolution`: the project's repositories or the workspace's.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::changes::{Change, Side};
use super::trace::{Applied, Trace};
use super::{Draft, Stopped, record};
use crate::plugin::generation::Generation;
use crate::plugin::output;
use crate::plugin::stage::{Repo, RepoInput, Resolution, Stage};

/// Without a plugin, or when it fails and is skipped, the workspace's list stands.
pub async fn run(generation: &Arc<Generation>, draft: &mut Draft, trace: &mut Trace) -> Result<(), Stopped> {
    let mut input = RepoInput {
        kind: draft.kind,
        resources: std::mem::take(&mut draft.resources),
        workspace_repos: std::mem::take(&mut draft.workspace_repos),
    };
    let mut chosen = None;
    for shadow in generation.shadows(Stage::RepoResolution, &draft.subject) {
        let (subject, input) = (draft.subject.clone(), input.clone());
        trace.shadows.call(shadow, Stage::RepoResolution, move |plugin| async move {
            let report = plugin.resolve_repos(&subject, &input).await;
            report.map(|resolution| Applied::Changed(difference(input, resolution)))
        });
    }
    if let Some(plugin) = generation.called(Stage::RepoResolution, &draft.subject).next() {
        let take = record::begin(generation, Stage::RepoResolution, &draft.subject, || record::repos(&input));
        let report = plugin.resolve_repos(&draft.subject, &input).await;
        if let Some(mut take) = take {
            take.output(report.result.as_ref().map(output::resolution).unwrap_or_default());
            take.end(plugin, &draft.subject, &report);
        }
        if let Some((resolution, times)) = trace.value(plugin, Stage::RepoResolution, report)? {
            let mut changes = Vec::new();
            if let Resolution::These(repos) = resolution
                && repos != input.workspace_repos
            {
                chosen = Some(list(&repos));
                let before = Side::Repos(std::mem::take(&mut input.workspace_repos));
                changes.push(Change::new("/repos", before, Side::Repos(repos)));
            }
            trace.applied(plugin, Stage::RepoResolution, times, changes);
        }
    }
    let chosen = chosen.unwrap_or_else(|| list(&input.workspace_repos));
    if !chosen.is_null() {
        draft.body.insert("repos".to_owned(), chosen);
    }
    Ok(())
}

/// What a resolution would change.
fn difference(input: RepoInput, resolution: Resolution) -> Vec<Change> {
    match resolution {
        Resolution::These(repos) if repos != input.workspace_repos => {
            vec![Change::new("/repos", Side::Repos(input.workspace_repos), Side::Repos(repos))]
        }
        Resolution::These(_) | Resolution::Workspace => Vec::new(),
    }
}

/// The member `repos`; `Null`, which stands for none, when there is nothing to list.
pub fn list(repos: &[Repo]) -> Value {
    if repos.is_empty() {
        return Value::Null;
    }
    repos.iter().map(body).collect()
}

/// A repository as it goes over the wire.
pub fn body(repo: &Repo) -> Value {
    let mut body = Map::new();
    body.insert("url".to_owned(), repo.url.clone().into());
    for (name, text) in [("description", &repo.description), ("ref", &repo.reference)] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            body.insert(name.to_owned(), text.clone().into());
        }
    }
    Value::Object(body)
}
