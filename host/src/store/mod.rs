//! Everything that is kept, in SQLite or PostgreSQL. The sole importer of sqlx.
//!
//! A function runs one query and returns a `model` value. Reads take a connection from
//! [`Db::reader`]; writes run inside [`Db::write`], which is a transaction of its own on
//! PostgreSQL and a savepoint of the next group on SQLite.

#[macro_use]
mod conn;
mod connect;
mod elsewhere;
mod error;
mod others;
mod queue_versions;
mod statistics;
mod suspicion;
mod types;
mod writer;

pub mod activities;
pub mod agent_activity;
pub mod agent_skills;
pub mod agent_targets;
pub mod agent_words;
pub mod agents;
pub mod attachments;
pub mod audit;
pub mod autopilot_runs;
pub mod autopilot_settings;
pub mod autopilots;
pub mod batch;
pub mod bus;
pub mod chats;
pub mod claim;
pub mod claim_autopilot;
pub mod claim_chat;
pub mod claim_heads;
pub mod claim_surroundings;
pub mod comment_threads;
pub mod comments;
pub mod connections;
pub mod deliveries;
pub mod escalations;
pub mod generations;
pub mod inbox;
pub mod invitations;
pub mod issue_list;
pub mod issue_search;
pub mod issue_tree;
pub mod issues;
pub mod labels;
pub mod login_codes;
pub mod members;
pub mod messages;
pub mod metadata;
pub mod pending_requests;
pub mod plugin_nodes;
pub mod plugin_recordings;
pub mod plugin_traces;
pub mod plugin_values;
pub mod profiles;
pub mod projects;
pub mod pull_requests;
pub mod queue;
pub mod queue_place;
pub mod reactions;
pub mod resolutions;
pub mod resources;
pub mod retire;
pub mod revocations;
pub mod routing;
pub mod runtime_usage;
pub mod runtimes;
pub mod secrets;
pub mod sessions;
pub mod skill_files;
pub mod skills;
pub mod squad_members;
pub mod squad_status;
pub mod squads;
pub mod subscribers;
pub mod sweeps;
pub mod task_cancels;
pub mod task_lists;
pub mod task_transitions;
pub mod tasks;
pub mod tokens;
pub mod triggers;
pub mod usage;
pub mod users;
pub mod workspaces;

pub use conn::{Conn, Db};
pub use connect::{Engine, Options};
pub use error::StoreError;
pub use others::Moved;
pub use writer::Durability;
