//! What happens to a task, one verb a file.

pub mod at_rest;
pub mod claim;
pub mod comment;
pub mod completion;
pub mod ended;
pub mod enqueue;
pub mod heartbeat;
pub mod lifecycle;
pub mod originator;
pub mod orphans;
pub mod permission;
pub mod refresh;
pub mod requests;
pub mod retry;
pub mod route;
pub mod skill_import;
pub mod runtime_removal;
pub mod stuck;
pub mod sweep;
pub mod triggers;
pub mod wakeup;
pub mod workspace_removal;
