//! Who acts, as rules see it.

use uuid::Uuid;

use super::ids::{AgentId, TaskId, UserId};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Actor {
    Member(UserId),
    /// An agent, while it runs the task.
    Agent {
        id: AgentId,
        task_id: TaskId,
    },
}

impl Actor {
    /// `member` or `agent`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Agent { .. } => "agent",
        }
    }

    pub fn id(self) -> Uuid {
        match self {
            Self::Member(id) => id.0,
            Self::Agent { id, .. } => id.0,
        }
    }

    pub fn is_agent(self) -> bool {
        matches!(self, Self::Agent { .. })
    }

    pub fn task_id(self) -> Option<TaskId> {
        match self {
            Self::Agent { task_id, .. } => Some(task_id),
            Self::Member(_) => None,
        }
    }
}
