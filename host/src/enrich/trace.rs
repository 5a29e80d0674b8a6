//! Who changed what: kept for each task, so that every claim can be explained.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::Stopped;
use super::changes::Change;
use super::shadow::Shadows;
use crate::model::time::{Clock, Time, seconds};
use crate::plugin::error::PluginError;
use crate::plugin::plugin::Plugin;
use crate::plugin::policy::OnError;
use crate::plugin::report::{Report, Times};
use crate::plugin::stage::{Stage, Subject};

/// How one claim came through the stages.
#[derive(Clone, Debug)]
pub struct Trace {
    pub task_id: String,
    /// The one set of plugins that every stage of this claim used.
    pub generation: u64,
    pub at: Time,
    pub steps: Vec<Step>,
    /// Steps of their own, each when it is done.
    pub shadows: Shadows,
    /// Those that were called when the task was queued.
    pub prepared: Shadows,
}

/// As operators see it: shadows that are done come after the steps that counted.
impl Serialize for Trace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (prepared, shadows) = (self.prepared.list(), self.shadows.list());
        let steps: Vec<&Step> = self.steps.iter().chain(&prepared).chain(&shadows).collect();
        let mut shown = serializer.serialize_struct("Trace", 4)?;
        shown.serialize_field("task_id", &self.task_id)?;
        shown.serialize_field("generation", &self.generation)?;
        shown.serialize_field("at", &seconds(self.at))?;
        shown.serialize_field("steps", &steps)?;
        shown.end()
    }
}

/// What came of a value that a plugin returned.
#[derive(Debug)]
pub enum Applied {
    Changed(Vec<Change>),
    Denied { code: String, reason: String },
}

/// One call of one plugin.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub plugin: String,
    pub version: String,
    pub sha256: String,
    pub stage: Stage,
    pub outcome: Outcome,
    /// Of a shadow: what it would have come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Outcome>,
    /// Of a canary: the plugin in whose place it was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// Of a denial or a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(flatten)]
    pub times: Times,
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
    /// It was called beside the live ones and changed nothing.
    Shadow,
}

impl Outcome {
    /// What a failure of this plugin comes to.
    pub fn of_failure(plugin: &Plugin, error: &PluginError) -> Self {
        match plugin.policy.on_error.of(error) {
            OnError::Skip => Self::Skipped,
            OnError::Fail => Self::Failed,
        }
    }
}

impl Trace {
    pub fn new(subject: &Subject, generation: u64) -> Self {
        Self {
            task_id: subject.task_id.clone(),
            generation,
            at: Clock::system().now(),
            steps: Vec::new(),
            shadows: Shadows::default(),
            prepared: Shadows::default(),
        }
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

    /// A call that gave no value where nothing depends on one.
    pub fn passed_over(&mut self, plugin: &Plugin, stage: Stage, times: Times, error: &PluginError) {
        tracing::warn!(
            task.id = self.task_id, plugin.name = plugin.name, stage = stage.as_str(), %error,
            "a plugin failed"
        );
        let why = Some((error.code().to_owned(), error.to_string()));
        self.push(plugin, stage, times, Outcome::Skipped, why, Vec::new());
    }

    /// With what was noted when the task was queued, which came before.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        let prepared = earlier.steps.iter().filter(|step| step.stage == Stage::Prepare);
        self.steps.splice(0..0, prepared.cloned());
        self.prepared = earlier.prepared.clone();
        self
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
        let steps: usize = self.steps.iter().map(Step::bytes).sum();
        size_of::<Self>() + steps + self.prepared.bytes() + self.shadows.bytes()
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
        self.steps.push(Step::new(plugin, stage, times, outcome, why, changes));
    }
}

impl Step {
    pub fn new(
        plugin: &Plugin,
        stage: Stage,
        times: Times,
        outcome: Outcome,
        why: Option<(String, String)>,
        changes: Vec<Change>,
    ) -> Self {
        let (code, message) = why.unzip();
        Self {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
            stage,
            outcome,
            would: None,
            replaces: plugin.role.replaces().map(str::to_owned),
            code,
            message,
            times,
            changes,
        }
    }

    /// Roughly, what it takes in memory.
    pub fn bytes(&self) -> usize {
        let said = self.message.as_ref().map_or(0, String::len);
        size_of::<Self>() + said + self.changes.iter().map(Change::bytes).sum::<usize>()
    }
}
