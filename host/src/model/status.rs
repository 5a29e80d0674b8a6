//! The task's state machine, as data.

use serde::Serialize;

/// Where a task stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Inert until its time comes.
    Deferred,
    /// Waits for its runtime.
    Queued,
    /// Handed to a daemon that has not yet acknowledged it.
    Dispatched,
    /// The daemon waits for a directory that another run holds.
    WaitingLocalDirectory,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl TaskStatus {
    pub const ALL: [Self; 8] = [
        Self::Deferred,
        Self::Queued,
        Self::Dispatched,
        Self::WaitingLocalDirectory,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deferred => "deferred",
            Self::Queued => "queued",
            Self::Dispatched => "dispatched",
            Self::WaitingLocalDirectory => "waiting_local_directory",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Never leaves this status again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Counts toward the agent's capacity and holds its lane.
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Dispatched | Self::Running | Self::WaitingLocalDirectory)
    }

    /// Holds the pending slot of its issue and agent.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::Queued | Self::Dispatched)
    }

    /// Can still be cancelled.
    pub fn is_active(self) -> bool {
        !self.is_terminal()
    }

    /// Whether any transition of the domain leads from here to `next`. The guards that a
    /// transition has beside its statuses stand with the statement that makes it.
    pub fn may_become(self, next: Self) -> bool {
        use TaskStatus as S;
        match (self, next) {
            (S::Deferred, S::Queued)
            | (S::Queued, S::Dispatched | S::Failed)
            | (
                S::Dispatched,
                S::Queued | S::Dispatched | S::WaitingLocalDirectory | S::Running | S::Failed,
            )
            | (S::WaitingLocalDirectory, S::Running | S::Failed)
            | (S::Running, S::Completed | S::Failed) => true,
            (from, S::Cancelled) => from.is_active(),
            _ => false,
        }
    }
}

/// What kind of work a task is, derived from what it is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Chat,
    Autopilot,
    QuickCreate,
    Comment,
    Direct,
}

#[cfg(test)]
mod tests {
    use super::TaskStatus as S;

    #[test]
    fn the_table_of_transitions_is_the_domains() {
        let allowed: &[(S, &[S])] = &[
            (S::Deferred, &[S::Queued, S::Cancelled]),
            (S::Queued, &[S::Dispatched, S::Failed, S::Cancelled]),
            (
                S::Dispatched,
                // Back to the queue when a plugin that must not fail did.
                &[S::Queued, S::Dispatched, S::WaitingLocalDirectory, S::Running, S::Failed, S::Cancelled],
            ),
            (S::WaitingLocalDirectory, &[S::Running, S::Failed, S::Cancelled]),
            (S::Running, &[S::Completed, S::Failed, S::Cancelled]),
            (S::Completed, &[]),
            (S::Failed, &[]),
            (S::Cancelled, &[]),
        ];
        for (from, to) in allowed {
            for next in S::ALL {
                assert_eq!(from.may_become(next), to.contains(&next), "{from:?} to {next:?}");
            }
        }
    }

    #[test]
    fn every_status_reads_back() {
        for status in S::ALL {
            assert_eq!(S::parse(status.as_str()), Some(status));
        }
        assert_eq!(S::parse("Queued"), None);
    }
}
