//! Two ways to get it wrong, kept so that the laws are seen to catch them.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::database::Rows;
use crate::laws::Row;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// The engine as it is.
    Real,
    /// A claim counts what is in flight, and takes its task a moment later.
    CountsBeforeItLocks,
    /// The end of a task is written whatever became of it meanwhile.
    EndsWithoutEpoch,
}

/// A claim of the broken kind between its two halves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Halfway {
    task: Uuid,
}

/// The first half: looks for a task of the runtime whose agent has room now, past those
/// that another claim has its hand on.
pub async fn count(
    rows: &mut Rows,
    runtime: Uuid,
    caps: &BTreeMap<Uuid, usize>,
    others: &[Halfway],
) -> Option<Halfway> {
    let all = rows.all().await;
    let in_flight =
        |agent: Uuid| all.iter().filter(|row| row.agent_id == agent && row.is_in_flight()).count();
    let lane_is_free = |task: &Row| {
        !all.iter()
            .any(|row| row.is_in_flight() && row.agent_id == task.agent_id && row.issue_id == task.issue_id)
    };
    let found = all.iter().find(|row| {
        row.status == "queued"
            && !others.contains(&Halfway { task: row.id })
            && row.runtime_id == runtime
            && in_flight(row.agent_id) < caps.get(&row.agent_id).copied().unwrap_or(usize::MAX)
            && lane_is_free(row)
    });
    found.map(|row| Halfway { task: row.id })
}

/// The second half: takes it if it still waits, believing the count.
pub async fn take(rows: &mut Rows, halfway: Halfway) {
    rows.set_status(halfway.task, "dispatched", Some("queued")).await;
}

/// Writes the end without a guard.
pub async fn end(rows: &mut Rows, task: Uuid, status: &str) {
    rows.set_status(task, status, None).await;
}
