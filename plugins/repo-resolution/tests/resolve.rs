//! Which repositories a task gets.

use repo_resolution::resolve;
use switchyard_sdk::repo_resolution::{Resolution, Resource};
use switchyard_sdk::{Repo, TaskKind};

fn resource(resource_type: &str, resource_ref: &str) -> Resource {
    Resource {
        id: "11111111-1111-4111-8111-111111111111".into(),
        resource_type: resource_type.into(),
        resource_ref: resource_ref.into(),
        label: Some("main".into()),
    }
}

fn repo(url: &str, reference: Option<&str>) -> Repo {
    Repo { url: url.into(), description: None, ref_: reference.map(Into::into) }
}

#[track_caller]
fn check(resource_ref: &str, expected: Option<Repo>) {
    let expected = expected.map_or(Resolution::Workspace, |repo| Resolution::These(vec![repo]));
    assert_eq!(
        resolve(TaskKind::Direct, &[resource("github_repo", resource_ref)]),
        expected,
        "{resource_ref}"
    );
}

/// Domain item 227.
#[test]
fn the_projects_repositories_replace_the_workspaces() {
    let resources = [
        resource("github_repo", r#"{"url":"https://a.example/x","ref":"main"}"#),
        resource("local_directory", r#"{"local_path":"/srv","daemon_id":"d","url":"https://no.example"}"#),
        resource("github_repo", r#"{"url":"https://a.example/x"}"#),
        resource("something_new", r#"{"url":"https://no.example"}"#),
        resource("github_repo", "not json"),
    ];
    let these = Resolution::These(vec![
        repo("https://a.example/x", Some("main")),
        // Listed twice, delivered twice.
        repo("https://a.example/x", None),
    ]);
    for kind in [TaskKind::Direct, TaskKind::Comment, TaskKind::QuickCreate] {
        assert_eq!(resolve(kind, &resources), these);
    }
}

/// Domain item 228.
#[test]
fn chats_and_autopilots_have_the_workspaces_list() {
    let resources = [resource("github_repo", r#"{"url":"https://a.example/x"}"#)];
    for kind in [TaskKind::Chat, TaskKind::Autopilot] {
        assert_eq!(resolve(kind, &resources), Resolution::Workspace);
    }
}

/// Domain item 227, for projects without a repository.
#[test]
fn without_a_usable_resource_the_workspaces_list_counts() {
    assert_eq!(resolve(TaskKind::Direct, &[]), Resolution::Workspace);
    assert_eq!(
        resolve(TaskKind::Direct, &[resource("local_directory", r#"{"local_path":"/srv"}"#)]),
        Resolution::Workspace
    );
    for unusable in
        ["", "null", "{}", "[]", r#"["https://a"]"#, r#"{"url":""}"#, r#"{"url":null}"#, r#"{"url":7}"#, "{"]
    {
        check(unusable, None);
    }
    check(r#"{"url":"https://a","ref":7}"#, None);
}

/// Domain item 227, for how refs are read.
#[test]
fn the_url_is_as_stored_and_the_ref_is_trimmed() {
    check(
        r#" {"url":" https://a.example/x ","ref":" v1 "}"#,
        Some(repo(" https://a.example/x ", Some("v1"))),
    );
    check(r#"{"url":"git@h:p","ref":"  "}"#, Some(repo("git@h:p", None)));
    check(r#"{"url":"git@h:p","ref":null,"default_branch_hint":"main"}"#, Some(repo("git@h:p", None)));
}
