//! `/api`: what people, bots and agents at work call.

mod agent_activity;
mod agent_answer;
mod agent_archive;
mod agent_env;
mod agent_skills;
mod agent_update;
mod agents;
mod attachment_bytes;
mod attachments;
mod autopilot_fields;
mod autopilot_runs;
mod autopilots;
mod chat;
mod chat_history;
mod chat_messages;
mod comment_edit;
mod comment_list;
mod comment_path;
mod comment_query;
mod comments;
mod composio;
mod evaluation;
mod inbox;
mod invitations;
mod issue_batch;
mod issue_children;
mod issue_create;
mod issue_fields;
mod issue_list;
mod issue_preview;
mod issue_rerun;
mod issue_search;
mod issue_tasks;
mod issue_update;
mod issues;
mod labels;
mod login;
mod me;
mod members;
mod metadata;
mod project_search;
mod projects;
mod pull_requests;
mod quick_create;
mod reactions;
mod resolutions;
mod resources;
mod runtime_profiles;
mod runtime_requests;
mod runtime_usage;
mod runtimes;
mod search_query;
mod skill_files;
mod skill_import;
mod skills;
pub mod socket;
mod squad_members;
mod squad_status;
mod squads;
mod subscribers;
mod tasks;
mod timeline;
mod tokens;
mod trigger_preview;
mod triggers;
mod uploads;
mod webhooks;
mod workspaces;

use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::document::{self, Guard};
use super::gate::Gate;
use super::guard;
use crate::app::App;

/// The routes of the user plane, a file a noun.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(me::routes())
        .merge(tokens::routes())
        .merge(login::routes())
        .merge(workspaces::routes())
        .merge(invitations::routes())
        .merge(runtimes::routes())
        .merge(agents::routes())
        .merge(agent_activity::routes())
        .merge(skills::routes())
        .merge(squads::routes())
        .merge(projects::routes())
        .merge(issues::routes())
        .merge(tasks::routes())
        .merge(comments::routes())
        .merge(autopilots::routes())
        .merge(webhooks::routes())
        .merge(chat::routes())
        .merge(chat_history::routes())
        .merge(labels::routes())
        .merge(attachments::routes())
        .merge(attachment_bytes::routes())
        .merge(uploads::routes())
        .merge(composio::routes())
        .merge(inbox::routes())
}

/// A route of its own behind a token. What it does not serve is refused before anybody is
/// asked who they are.
pub fn alone(route: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let (schemas, mut paths, methods) = route;
    document::guarded(&mut paths, Guard::User);
    (schemas, paths, methods.route_layer(Gate(guard::user_plane)))
}

/// As [`alone`], with the workspace from a header or the query.
pub fn alone_scoped(route: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let (schemas, mut paths, methods) = route;
    document::guarded(&mut paths, Guard::Workspace);
    let methods = methods.route_layer(Gate(guard::scoped));
    alone((schemas, paths, methods))
}

/// A prefix under which everything asks for a token before it is matched.
pub fn mount(prefix: &str, mut routes: OpenApiRouter<App>) -> OpenApiRouter<App> {
    document::guarded(&mut routes.get_openapi_mut().paths, Guard::User);
    let routes = routes.fallback(guard::page_not_found).layer(Gate(guard::user_plane));
    OpenApiRouter::new().nest(prefix, routes)
}

/// As [`mount`], with the workspace from a header or the query.
pub fn mount_scoped(prefix: &str, mut routes: OpenApiRouter<App>) -> OpenApiRouter<App> {
    document::guarded(&mut routes.get_openapi_mut().paths, Guard::Workspace);
    let routes = routes.fallback(guard::page_not_found).layer((Gate(guard::user_plane), Gate(guard::scoped)));
    OpenApiRouter::new().nest(prefix, routes)
}
