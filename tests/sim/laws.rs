//! What must be true after every step, read from the rows themselves.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

/// The columns that the laws speak of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub id: Uuid,
    pub agent_id: Uuid,
    pub runtime_id: Uuid,
    pub issue_id: Option<Uuid>,
    pub status: String,
    pub error: Option<String>,
}

impl Row {
    pub fn is_in_flight(&self) -> bool {
        matches!(self.status.as_str(), "dispatched" | "running" | "waiting_local_directory")
    }

    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "failed" | "cancelled")
    }
}

/// What was seen so far, against which the next look is held.
#[derive(Default)]
pub struct Ledger {
    /// The first end that a task was seen with.
    ended: BTreeMap<Uuid, (String, Option<String>)>,
    /// Ends that somebody was told of.
    promised: BTreeMap<Uuid, String>,
    /// Every task with its issue.
    seen: BTreeMap<Uuid, Option<Uuid>>,
    /// Issues that somebody wanted deleted: their tasks may go at any time.
    forgiven: BTreeSet<Uuid>,
    in_flight: BTreeMap<Uuid, usize>,
    /// Issues whose creation was acknowledged, and is owed a task.
    owed: BTreeSet<Uuid>,
}

impl Ledger {
    /// An acknowledged assignment: a task for this issue exists from now on.
    pub fn owes(&mut self, issue: Uuid) {
        self.owed.insert(issue);
    }

    /// A deleted issue takes its tasks along, now or when the call arrives.
    pub fn forgives(&mut self, issue: Uuid) {
        self.owed.remove(&issue);
        self.forgiven.insert(issue);
    }

    /// Somebody was told that the task ended so.
    pub fn promises(&mut self, task: Uuid, status: &str) {
        self.promised.entry(task).or_insert_with(|| status.to_owned());
    }

    pub fn check(&mut self, rows: &[Row], caps: &BTreeMap<Uuid, usize>) -> Result<(), String> {
        lanes(rows)?;
        self.caps(rows, caps)?;
        self.outcomes(rows)?;
        self.nothing_lost(rows)
    }

    /// Never more in flight than the cap when something was added.
    fn caps(&mut self, rows: &[Row], caps: &BTreeMap<Uuid, usize>) -> Result<(), String> {
        let mut now: BTreeMap<Uuid, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.is_in_flight()) {
            *now.entry(row.agent_id).or_default() += 1;
        }
        for (agent, count) in &now {
            let before = self.in_flight.get(agent).copied().unwrap_or_default();
            let cap = caps.get(agent).copied().unwrap_or(usize::MAX);
            if *count > before && *count > cap {
                return Err(format!("cap: agent {agent} has {count} tasks in flight, its cap is {cap}"));
            }
        }
        self.in_flight = now;
        Ok(())
    }

    /// A task ends once, and stays as somebody was told.
    fn outcomes(&mut self, rows: &[Row]) -> Result<(), String> {
        for row in rows {
            let end = (row.status.clone(), row.error.clone());
            if let Some(first) = self.ended.get(&row.id) {
                if *first != end {
                    return Err(format!("outcome: task {} ended as {first:?} and is {end:?} now", row.id));
                }
            } else if row.is_over() {
                self.ended.insert(row.id, end);
            }
            if let Some(promised) = self.promised.get(&row.id)
                && *promised != row.status
            {
                return Err(format!(
                    "outcome: task {} was promised {promised} and is {}",
                    row.id, row.status
                ));
            }
        }
        Ok(())
    }

    fn nothing_lost(&mut self, rows: &[Row]) -> Result<(), String> {
        let now: BTreeMap<Uuid, Option<Uuid>> = rows.iter().map(|row| (row.id, row.issue_id)).collect();
        let may_go = |issue: &Option<Uuid>| issue.is_some_and(|issue| self.forgiven.contains(&issue));
        if let Some((gone, _)) = self.seen.iter().find(|(id, issue)| !now.contains_key(id) && !may_go(issue))
        {
            return Err(format!("lost: task {gone} is gone"));
        }
        self.seen.extend(now);
        let issues: BTreeSet<Uuid> = rows.iter().filter_map(|row| row.issue_id).collect();
        match self.owed.iter().find(|issue| !issues.contains(issue)) {
            Some(issue) => Err(format!("lost: issue {issue} was assigned and has no task")),
            None => Ok(()),
        }
    }
}

/// One agent never works twice at once on an issue.
fn lanes(rows: &[Row]) -> Result<(), String> {
    let mut held = BTreeSet::new();
    for row in rows.iter().filter(|row| row.is_in_flight()) {
        if let Some(issue) = row.issue_id
            && !held.insert((row.agent_id, issue))
        {
            return Err(format!("lane: agent {} has two tasks in flight on issue {issue}", row.agent_id));
        }
    }
    Ok(())
}
