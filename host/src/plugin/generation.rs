//! A set of plugins that was applied: immutable, and swapped whole.

use std::sync::Arc;

use serde::Serialize;

use super::document::Fault;
use super::history::Member;
use super::plugin::Plugin;
use super::recording::Recorder;
use super::rollout::Role;
use super::stage::{Stage, Subject};
use crate::model::time::Time;

pub struct Generation {
    /// Counts from 1; a rollback makes a new one. 0 is what runs of a first document, parts of
    /// which cannot be loaded.
    pub number: u64,
    /// SHA-256 of the document, whatever its spelling: 64 hex digits.
    pub digest: String,
    /// The document as JSON text.
    pub document: String,
    pub origin: Origin,
    pub applied_at: Time,
    /// Why it runs, when nobody asked for it.
    pub reason: Option<String>,
    /// The canary that was given up for it.
    pub gave_up: Option<String>,
    /// Those that are enabled, in the document's order.
    pub plugins: Vec<Arc<Plugin>>,
    /// Where samples of its calls go.
    pub recorder: Option<Recorder>,
    /// Those that are enabled and could not be loaded. Only a start puts up with any.
    pub broken: Vec<Broken>,
}

/// A plugin that could not be loaded, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Broken {
    pub name: String,
    /// The gateway is not ready without it.
    pub required: bool,
    pub faults: Vec<Fault>,
}

/// How a set came to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// No document was ever given.
    BuiltIn,
    /// The configured file.
    File,
    /// The admin API.
    Api,
    /// An earlier set, run again.
    Rollback,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BuiltIn => "built_in",
            Self::File => "file",
            Self::Api => "api",
            Self::Rollback => "rollback",
        }
    }

    /// Whether an equal set that is kept already is taken for this one. What was asked for by
    /// hand is always a set of its own.
    pub fn resumes(self) -> bool {
        matches!(self, Self::BuiltIn | Self::File)
    }

    /// The database lets nothing else in.
    pub fn parse(text: &str) -> Self {
        [Self::BuiltIn, Self::File, Self::Rollback]
            .into_iter()
            .find(|origin| origin.as_str() == text)
            .unwrap_or(Self::Api)
    }
}

impl Generation {
    /// Live plugins of a stage, whatever the task.
    pub fn serving(&self, stage: Stage) -> impl Iterator<Item = &Arc<Plugin>> {
        self.at(stage).filter(|plugin| plugin.role == Role::Live)
    }

    /// Whether anybody may be called at a stage.
    pub fn is_served(&self, stage: Stage) -> bool {
        self.at(stage).next().is_some()
    }

    /// Those that are called for a task: of the live plugins that fit all or the first, or
    /// canaries in their place.
    pub fn called<'a>(&'a self, stage: Stage, subject: &'a Subject) -> impl Iterator<Item = &'a Arc<Plugin>> {
        let limit = if stage.takes_many() { usize::MAX } else { 1 };
        let fitting = self.serving(stage).filter(|plugin| plugin.policy.matching.fits(subject));
        fitting.take(limit).map(|plugin| self.stand_in(plugin, subject))
    }

    /// Those that are called beside them.
    pub fn shadows<'a>(
        &'a self,
        stage: Stage,
        subject: &'a Subject,
    ) -> impl Iterator<Item = &'a Arc<Plugin>> {
        let shadows = self.at(stage).filter(|plugin| plugin.role == Role::Shadow);
        shadows.filter(|plugin| plugin.policy.matching.fits(subject))
    }

    /// Of a stage that takes many: live plugins or their canaries, and shadows, each at its place
    /// in the document.
    pub fn turns<'a>(&'a self, stage: Stage, subject: &'a Subject) -> impl Iterator<Item = &'a Arc<Plugin>> {
        let fitting = self.at(stage).filter(|plugin| plugin.policy.matching.fits(subject));
        fitting.filter_map(|plugin| match plugin.role {
            Role::Live => Some(self.stand_in(plugin, subject)),
            Role::Shadow => Some(plugin),
            Role::Canary { .. } => None,
        })
    }

    fn at(&self, stage: Stage) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter().filter(move |plugin| plugin.stages.contains(&stage))
    }

    /// The plugin's canary when this task is the canary's, else the plugin.
    fn stand_in<'a>(&'a self, plugin: &'a Arc<Plugin>, subject: &Subject) -> &'a Arc<Plugin> {
        let canary = self.plugins.iter().find(|other| other.role.stands_in(&plugin.name, &subject.task_id));
        canary.unwrap_or(plugin)
    }

    /// What it is made of.
    pub fn members(&self) -> Vec<Member> {
        let member = |plugin: &Arc<Plugin>| Member {
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
        };
        self.plugins.iter().map(member).collect()
    }
}
