//! The gateway from outside: every test starts the real binary on a database of its own and
//! talks to it over HTTP. One binary, so that it links once. `harness` tells how to write one.
//!
//! Nothing here knows the gateway's own types: what a client cannot see, a test cannot see.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::too_many_lines, reason = "a scenario reads best in one piece")]
#![allow(clippy::items_after_statements, reason = "a query reads best beside what it is for")]

/// Gateways, clients, rows: what every test stands on.
#[macro_use]
mod harness;

/// The harness itself keeps its promises.
mod gateway;

/// `/api/agents`: their secrets.
mod agent_secrets;
/// … with whom they are shared.
mod agent_sharing;
/// … the rest of them.
mod agents;
/// `/api/projects`.
mod projects;
/// `/api/skills`.
mod skills;
/// `/api/squads`.
mod squads;

/// Children that end, and their parent.
mod child_done;
/// Comments: the cast of their tests,
mod comment_cast;
/// … read in every mode,
mod comment_lists;
/// … whom they start,
mod comment_routing;
/// … written, changed, settled.
mod comments;
/// … what they may touch.
mod daemon_access;
/// `/api/daemon`: who may enter.
mod daemon_authentication;
/// … how bodies are read.
mod daemon_bodies;
/// … the content of skills.
mod daemon_bundles;
/// … which task a claim gives.
mod daemon_claim;
/// … in a chat, and in an autopilot's run.
mod daemon_claim_chat;
/// … and what the task carries.
mod daemon_claim_contents;
/// … its good end.
mod daemon_complete;
/// … its goodbye.
mod daemon_deregister;
/// … its bad one, and the next attempt.
mod daemon_fail;
/// … what may be cleaned up.
mod daemon_gc;
/// … its signs of life.
mod daemon_heartbeat;
/// … a task before it ends.
mod daemon_lifecycle;
/// … what its agent says.
mod daemon_messages;
/// … the agent CLIs of a daemon.
mod daemon_register;
/// … where it can be resumed.
mod daemon_session;
/// … what ends tasks whose daemon went away.
mod daemon_sweeps;
/// … what a run used.
mod daemon_usage;
/// … what it synchronises of a workspace.
mod daemon_workspaces;
/// Who stands by when an agent does not react.
mod escalation;
/// Issues: what starts when one is written,
mod issue_enqueue;
/// … written, listed, found.
mod issues;
/// Labels, metadata, followers, reactions.
mod labels;
/// Issues from a prompt.
mod quick_create;
/// What a squad's leader makes of a turn.
mod squad_evaluation;
/// Tasks as people see them.
mod task_routes;
