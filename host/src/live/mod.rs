//! Who is here now, and what just happened. Memory only, safe to lose.

pub mod bus;
pub mod events;
pub mod hub;
pub mod lines;
pub mod liveness;
pub mod pending;
pub mod pulse;
pub mod redis;
pub mod relay;
pub mod rows;
pub mod wakeups;
pub mod watchers;
mod words;
