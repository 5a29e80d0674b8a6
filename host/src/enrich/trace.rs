//! Who changed what: kept for each task, so that every claim can be explained.

use serde::{Serialize, Serializer};

use super::Stopped;
use super::changes::Change;
use crate::model::time::{Clock, Time};
use crate::plugin::error::PluginError;
use crate::plugin::plugin::Plugin;
use crate::plugin::policy::OnError;
use crate::plugin::report::{Report, Times};
use crate::plugin::stage::{Stage, Subject};

/// How one claim came through the stages.
#[derive(Clone, Debug, Serialize)]
pub struct Trace {
    pub task_id: String,
    /// The one set of plugins that every stage of this claim used.
    pub generation: u64,
    #[serde(serialize_with = "crate::model::time::as_seconds::serialize")]
    pub at: Time,
    pub steps: Vec<Step>,
}

/// One call of one plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub plugin: String,
    pub version: String,
    pub sha256: String,
    pub stage: Stage,
    pub outcome: Outcome,
    /// Of a denial or a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Waited for a place, made the instance, ran the guest: microseconds each.
    pub queue_us: u64,
    pub instantiate_us: u64,
    pub guest_us: u64,
    /// Shown as one JSON Patch on the claimed task, with secrets blotted out.
    #[serde(serialize_with = "as_patch")]
    pub changes: Vec<Change>,
}

fn as_patch<S: Serializer>(changes: &[Change], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(changes.iter().flat_map(Change::patch))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Changed,
    Unchanged,
    /// It failed, and the claim went on without it.
    Skipped,
    /// It failed, and the task went back to the queue.
    Failed,
    Denied,
}

impl Trace {
    pub fn new(subject: &Subject, generation: u64) -> Self {
        Self { task_id: subject.task_id.clone(), generation, at: Clock::system().now(), steps: Vec::new() }
    }

    /// A call that gave a value, and what became different by it.
    pub fn applied(&mut self, plugin: &Plugin, stage: Stage, times: Times, changes: Vec<Change>) {
        let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Changed };
        self.push(plugin, stage, times, outcome, None, changes);
    }

    pub fn denied(&mut self, plugin: &Plugin, times: Times, code: &str, reason: &str) {
        let why = Some((code.to_owned(), reason.to_owned()));
        self.push(plugin, Stage::Enrichment, times, Outcome::Denied, why, Vec::new());
    }

    /// A call that gave no value: passed over, or the end of this claim.
    pub fn failed(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        times: Times,
        error: &PluginError,
    ) -> Result<(), Stopped> {
        let why = Some((error.code().to_owned(), error.to_string()));
        tracing::warn!(
            task.id = self.task_id, plugin.name = plugin.name, stage = stage.as_str(), %error,
            "a plugin failed"
        );
        match plugin.policy.on_error.of(error) {
            OnError::Skip => {
                self.push(plugin, stage, times, Outcome::Skipped, why, Vec::new());
                Ok(())
            }
            OnError::Fail => {
                self.push(plugin, stage, times, Outcome::Failed, why, Vec::new());
                Err(Stopped::Failed { plugin: plugin.name.clone(), message: error.to_string() })
            }
        }
    }

    /// The value of a call, or `None` when it failed and is passed over.
    pub fn value<T>(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        report: Report<T>,
    ) -> Result<Option<(T, Times)>, Stopped> {
        match report.result {
            Ok(value) => Ok(Some((value, report.times))),
            Err(error) => self.failed(plugin, stage, report.times, &error).map(|()| None),
        }
    }

    /// Roughly, what it takes in memory.
    pub fn bytes(&self) -> usize {
        let step = |step: &Step| {
            let said = step.message.as_ref().map_or(0, String::len);
            size_of::<Step>() + said + step.changes.iter().map(Change::bytes).sum::<usize>()
        };
        size_of::<Self>() + self.steps.iter().map(step).sum::<usize>()
    }

    fn push(
        &mut self,
        plugin: &Plugin,
        stage: Stage,
        times: Times,
        outcome: Outcome,
        why: Option<(String, String)>,
        changes: Vec<Change>,
    ) {
        let (code, message) = why.unzip();
        self.steps.push(Step {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
            stage,
            outcome,
            code,
            message,
            queue_us: times.queue_us,
            instantiate_us: times.instantiate_us,
            guest_us: times.guest_us,
            changes,
        });
    }
}
