//! The gateway from outside: every test starts the real binary on a database of its own and
//! talks to it over HTTP. One binary, so that it links once. `harness` tells how to write one.
//!
//! Nothing here knows the gateway's own types: what a client cannot see, a test cannot see.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![allow(clippy::float_cmp, reason = "counts are whole numbers, exact in a float")]
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
/// What people are told.
mod inbox;
/// `/api/projects`.
mod projects;
/// Skills out of archives and from elsewhere.
mod skill_import;
/// `/api/skills`.
mod skills;
/// `/api/squads`.
mod squads;

/// Attachments: files up, down and away.
mod attachments;
/// Autopilots: what goes off, and what comes of it.
mod autopilots;
/// What a squad's leader reads.
mod briefings;
/// What is stopped, and with what.
mod cancels;
/// Chats, from a person's side.
mod chat;
/// Children that end, and their parent.
mod child_done;
/// What a claimed task carries, rule by rule,
mod claim_answers;
/// … many daemons at once,
mod claim_race;
/// … which task it is,
mod claim_rules;
/// … in which form.
mod claim_shapes;
/// Comments: the cast of their tests,
mod comment_cast;
/// … read in every mode,
mod comment_lists;
/// … whom they start,
mod comment_routing;
/// … written, changed, settled.
mod comments;
/// Apps that people connect,
mod composio;
/// … the service that holds them,
mod composio_service;
/// … what tasks are given of them,
mod connected_apps;
/// … while the service does not answer,
mod connected_apps_hang;
/// … and who gets to see it.
mod connected_apps_leaks;
/// What each route asks of the database.
mod costs;
/// … and the gateway is killed meanwhile.
mod crashes;
/// The daemon plane: what a caller may touch.
mod daemon_access;
/// The daemon plane: who may enter.
mod daemon_authentication;
/// The daemon plane: how bodies are read.
mod daemon_bodies;
/// The daemon plane: the content of skills.
mod daemon_bundles;
/// The daemon plane: a chat's turn as people write it.
mod daemon_chat_turn;
/// The daemon plane: which task a claim gives.
mod daemon_claim;
/// The daemon plane: what a chat's turn and an autopilot's run carry.
mod daemon_claim_chat;
/// The daemon plane: what any other claimed task carries.
mod daemon_claim_contents;
/// The daemon plane: a task's good end.
mod daemon_complete;
/// The daemon plane: a daemon's goodbye.
mod daemon_deregister;
/// The daemon plane: what it tells those who watch.
mod daemon_events;
/// The daemon plane: a task's bad end, and the next attempt.
mod daemon_fail;
/// The daemon plane: what may be cleaned up.
mod daemon_gc;
/// The daemon plane: signs of life.
mod daemon_heartbeat;
/// The daemon plane: a task before it ends.
mod daemon_lifecycle;
/// The daemon plane: what agents say.
mod daemon_messages;
/// The daemon plane: which agent CLIs a daemon has.
mod daemon_register;
/// The daemon plane: where a run can be resumed.
mod daemon_session;
/// … its socket.
mod daemon_socket;
/// … what ends tasks whose daemon went away.
mod daemon_sweeps;
/// Where the planes meet: tokens that end, an issue's runs.
mod daemon_tokens;
/// The daemon plane: what a run used.
mod daemon_usage;
/// … what it hears there by itself.
mod daemon_wakeups;
/// The daemon plane: what a daemon synchronises of a workspace.
mod daemon_workspaces;
/// Much work for many.
mod drain;
/// What polls for nothing cost.
mod empty_poll;
/// How runs end, and what is said of it.
mod endings;
/// Who stands by when an agent does not react.
mod escalation;
/// Calls that go past the tree of routes.
mod express;
/// Three nodes, and what may happen to them and their database,
mod faults;
/// … and what those tests share.
mod faults_scene;
/// What is foretold of a write, and what it starts.
mod foretold;
/// What a claim costs beside a long past.
mod growth;
/// Issues: what starts when one is written,
mod issue_enqueue;
/// … what is told of one,
mod issue_events;
/// … written, listed, found.
mod issues;
/// Labels, metadata, followers, reactions.
mod labels;
/// Several nodes over one database.
mod nodes;
/// Issues from a prompt.
mod quick_create;
/// What is taken out of what agents say.
mod redaction;
/// What is left when something goes.
mod removals;
/// What follows a run that was lost.
mod second_attempts;
/// … and how long it may be silent.
mod socket_silence;
/// What a squad's leader makes of a turn.
mod squad_evaluation;
/// What the database holds to.
mod storage;
/// Who may start an agent, cell by cell.
mod who_may_start;

/// `/admin`: operators.
mod admin;
/// Who calls the rest of `/api`, and the person behind it.
mod identity;
/// `/api/workspaces/{id}/members` and `/api/invitations`.
mod members;
/// What operators count.
mod metrics;
/// Short commands to daemons, from the person who asks to the daemon.
mod pending_requests;
/// How statements reach their rows, in databases of every shape.
mod plans;
/// Plugins: a document is applied whole, or not at all.
mod plugins_apply;
/// … what their authors do,
mod plugins_author;
/// … with cases, measures and looks inside,
mod plugins_author_cases;
/// … in each language, up to a claim,
mod plugins_author_languages;
/// … and what those tests share.
mod plugins_author_scene;
/// … what is kept of their compilation.
mod plugins_cache;
/// … what the first-party ones make of a claim.
mod plugins_claim;
/// … those that were compiled for a published version.
mod plugins_frozen;
/// … what they see, change and call.
mod plugins_grants;
/// … guests that misbehave.
mod plugins_limits;
/// … sets over time and over nodes.
mod plugins_nodes;
/// … traps that others fell into.
mod plugins_pitfalls;
/// … for which tasks they are asked, and what a failure costs.
mod plugins_policy;
/// … what tasks take along from the moment they are queued.
mod plugins_prepare;
/// … values, the web and secrets.
mod plugins_reach;
/// … what was recorded, and replayed.
mod plugins_recordings;
/// … out of a registry.
mod plugins_registry;
/// … how a set comes to run: file, signal, restart, another node.
mod plugins_reload;
/// … on trial: shadows and canaries.
mod plugins_rollout;
/// … what these tests share.
mod plugins_scene;
/// … what shadows reach, and when they run.
mod plugins_shadows;
/// … who vouches for them, and what operators allow.
mod plugins_signatures;
/// … and instances that are kept between calls.
mod plugins_warm;
/// … a server for them to reach.
mod plugins_web;
/// Nodes that share a Redis, and lose it.
mod redis;
/// … and from the daemon back.
mod result_reports;
/// `/api/runtimes` and runtime profiles, for people.
mod runtimes_user;
/// Sweeping: what is bounded, what is purged, what one bad row may not spoil.
mod sweep;
/// Tasks as people see them.
mod task_routes;
/// The tree: importers, pairs of files, documents, contracts.
mod tidy;
/// The user plane: customs that hold on every route, and paths that cross several.
mod user_plane;
/// What happens in a workspace, as it happens.
mod user_socket;
/// Autopilots that are set off from outside.
mod webhooks;
/// `/api/workspaces`.
mod workspaces;

/// Whatever is sent, to whichever route,
mod hostile;
/// … and which routes there are.
mod hostile_routes;
