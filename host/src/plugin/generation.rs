//! A set of plugins that was applied: immutable, and swapped whole.

use std::sync::Arc;

use serde::Serialize;

use super::document::Fault;
use super::history::Member;
use super::plugin::Plugin;
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
    /// Those that are enabled, in the document's order.
    pub plugins: Vec<Arc<Plugin>>,
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
    pub fn serving(&self, stage: Stage) -> impl Iterator<Item = &Arc<Plugin>> {
        self.plugins.iter().filter(move |plugin| plugin.stages.contains(&stage))
    }

    /// Those of a stage that are asked for this task: all that fit, or the first.
    pub fn asked<'a>(&'a self, stage: Stage, subject: &'a Subject) -> impl Iterator<Item = &'a Arc<Plugin>> {
        let limit = if stage.takes_many() { usize::MAX } else { 1 };
        self.serving(stage).filter(|plugin| plugin.policy.matching.fits(subject)).take(limit)
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
