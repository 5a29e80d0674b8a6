//! A set of plugins that was applied: immutable, and swapped whole.

use std::sync::Arc;

use serde::Serialize;

use super::history::Member;
use super::plugin::Plugin;
use super::recording::Recorder;
use super::rollout::Role;
use super::stage::Stage;
use crate::model::time::Time;

pub struct Generation {
    /// Counts from 1; a rollback makes a new one.
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

    /// Those that are called for a task: live plugins, or canaries in their place.
    pub fn called(&self, stage: Stage, task_id: &str) -> impl Iterator<Item = &Arc<Plugin>> {
        self.serving(stage).map(move |plugin| self.stand_in(plugin, task_id))
    }

    /// Those that are called beside them.
    pub fn shadows(&self, stage: Stage) -> impl Iterator<Item = &Arc<Plugin>> {
        self.at(stage).filter(|plugin| plugin.role == Role::Shadow)
    }

    /// Live plugins or their canaries, and shadows, each at its place in the document.
    pub fn turns(&self, stage: Stage, task_id: &str) -> impl Iterator<Item = &Arc<Plugin>> {
        self.at(stage).filter_map(move |plugin| match plugin.role {
            Role::Live => Some(self.stand_in(plugin, task_id)),
            Role::Shadow => Some(plugin),
            Role::Canary { .. } => None,
        })
    }

    fn at(&self, stage: Stage) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter().filter(move |plugin| plugin.stages.contains(&stage))
    }

    /// The plugin's canary when this task is the canary's, else the plugin.
    fn stand_in<'a>(&'a self, plugin: &'a Arc<Plugin>, task_id: &str) -> &'a Arc<Plugin> {
        let canary = self.plugins.iter().find(|other| other.role.stands_in(&plugin.name, task_id));
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
