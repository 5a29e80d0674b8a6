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

/// … what they may touch.
mod daemon_access;
/// `/api/daemon`: who may enter.
mod daemon_authentication;
/// … how bodies are read.
mod daemon_bodies;
/// … its goodbye.
mod daemon_deregister;
/// … its signs of life.
mod daemon_heartbeat;
/// … the agent CLIs of a daemon.
mod daemon_register;
/// … what it synchronises of a workspace.
mod daemon_workspaces;

/// `/admin`: operators.
mod admin;
/// Plugins: a document is applied whole, or not at all.
mod plugins_apply;
/// … what the first-party ones make of a claim.
mod plugins_claim;
/// … what they see, change and call.
mod plugins_grants;
/// … guests that misbehave.
mod plugins_limits;
/// … how a set comes to run: file, signal, restart, another node.
mod plugins_reload;
/// … what these tests share.
mod plugins_scene;

/// The tree: importers, pairs of files, documents, contracts.
mod tidy;
