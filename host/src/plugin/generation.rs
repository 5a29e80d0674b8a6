//! A set of plugins that was applied: immutable, and swapped whole.

use std::sync::Arc;

use serde::Serialize;

use super::history::Member;
use super::plugin::Plugin;
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
    /// Those that are enabled, in the document's order.
    pub plugins: Vec<Arc<Plugin>>,
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
