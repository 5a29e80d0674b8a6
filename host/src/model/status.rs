//! The task's state machine, as data.

use serde::Serialize;
use utoipa::ToSchema;

/// Where a task stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, ToSchema)]
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

    /// The machine itself: where a task may go from here. The guards that a transition has
    /// beside its statuses stand with the statement that makes it.
    pub fn successors(self) -> &'static [Self] {
        use TaskStatus as S;
        match self {
            S::Deferred => &[S::Queued, S::Cancelled],
            S::Queued => &[S::Dispatched, S::Failed, S::Cancelled],
            // Handed out again when the answer was lost, and back to the queue when a plugin
            // that must not fail did.
            S::Dispatched => {
                &[S::Queued, S::Dispatched, S::WaitingLocalDirectory, S::Running, S::Failed, S::Cancelled]
            }
            S::WaitingLocalDirectory => &[S::Running, S::Failed, S::Cancelled],
            S::Running => &[S::Completed, S::Failed, S::Cancelled],
            S::Completed | S::Failed | S::Cancelled => &[],
        }
    }

    pub fn may_become(self, next: Self) -> bool {
        self.successors().contains(&next)
    }
}

/// What kind of work a task is, derived from what it is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
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
    fn every_pair_of_statuses_is_settled() {
        // A row a status, a column the next one, in the order of `ALL`.
        let table = [
            (S::Deferred, "-q-----c"),
            (S::Queued, "--d---fc"),
            (S::Dispatched, "-qdwr-fc"),
            (S::WaitingLocalDirectory, "----r-fc"),
            (S::Running, "-----cfc"),
            (S::Completed, "--------"),
            (S::Failed, "--------"),
            (S::Cancelled, "--------"),
        ];
        assert_eq!(table.map(|(from, _)| from), S::ALL);
        for (from, row) in table {
            for (next, mark) in S::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(next), mark != '-', "{from:?} to {next:?}");
            }
        }
    }

    #[test]
    fn the_sets_of_statuses_are_three_different_ones() {
        let of = |test: fn(S) -> bool| S::ALL.into_iter().filter(|status| test(*status)).collect::<Vec<_>>();
        assert_eq!(of(S::is_pending), [S::Queued, S::Dispatched]);
        assert_eq!(of(S::is_in_flight), [S::Dispatched, S::WaitingLocalDirectory, S::Running]);
        assert_eq!(of(S::is_terminal), [S::Completed, S::Failed, S::Cancelled]);
        assert!(S::ALL.into_iter().all(|status| status.is_terminal() == status.successors().is_empty()));
        assert!(S::ALL.into_iter().all(|status| status.is_active() == status.may_become(S::Cancelled)));
    }

    #[test]
    fn every_status_reads_back() {
        for status in S::ALL {
            assert_eq!(S::parse(status.as_str()), Some(status));
        }
        assert_eq!(S::parse("Queued"), None);
    }
}
