//! Nouns, statuses and the rules about them that need no I/O.

pub mod actor;
pub mod agent;
pub mod clean;
pub mod comment_body;
pub mod failure;
pub mod flag;
pub mod ids;
pub mod issue;
pub mod mention;
pub mod message;
pub mod pending_request;
pub mod profile;
pub mod project;
pub mod reaction;
pub mod redact;
pub mod runtime;
pub mod skill;
pub mod squad;
pub mod status;
pub mod task;
pub mod task_body;
pub mod text;
pub mod time;
pub mod workspace;
