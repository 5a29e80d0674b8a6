//! Who is here now, and what just happened. Memory only, safe to lose.

pub mod events;
pub mod liveness;
pub mod wakeups;
