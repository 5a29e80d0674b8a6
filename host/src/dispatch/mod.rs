//! What happens to a task, one verb a file.

pub mod claim;
pub mod enqueue;
pub mod originator;
pub mod permission;
pub mod refresh;
pub mod wakeup;
