//! Which set runs when the gateway starts.
//!
//! A document that changed since it was last applied goes first. Otherwise the set that ran
//! last goes on, even when it came from the admin API, and even when its files are gone: a
//! restart is no reason to run something else. A document with faults is reported and the
//! last good set goes on. Where there is none, or where a part of it cannot be loaded any
//! more, what can be loaded runs, and the rest is tried again; only a document that cannot
//! be read at all, with no set before it, keeps the gateway from starting.

use std::path::Path;

use thiserror::Error;

use super::document::{DEFAULT, Document, DocumentFormat, Fault};
use super::generation::{Generation, Origin};
use super::history::Kept;
use super::plugins::{ApplyError, Care, Plugins, Sent, Settings, lines};
use crate::model::time::Clock;
use crate::store::StoreError;

#[derive(Debug, Error)]
pub enum StartError {
    #[error("the plugin document {path} has faults:{}", lines(faults))]
    Faults { path: String, faults: Vec<Fault> },
    #[error("the plugin document {path} cannot be read: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error(
        "plugin generation {number}, which ran last, does not run any more; \
         start with `--plugins FILE` to replace it:{}",
        lines(faults)
    )]
    Lost { number: u64, faults: Vec<Fault> },
    #[error("the engine for plugins could not be started: {0}")]
    Engine(anyhow::Error),
    #[error("the plugin sets that were applied cannot be read")]
    Store(#[from] StoreError),
}

impl Plugins {
    /// Starts the engine and runs the first set.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let document = settings.document.clone();
        let plugins = Self::idle(settings, clock).map_err(StartError::Engine)?;
        plugins.note_document().await;
        let latest = plugins.history().latest().await?;
        match document {
            Some(path) => plugins.start_from_file(&path, latest).await?,
            None => plugins.start_without_file(latest).await?,
        }
        Ok(plugins)
    }

    async fn start_from_file(&self, path: &Path, latest: Option<Kept>) -> Result<(), StartError> {
        let shown = path.display().to_string();
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(error) => match latest {
                Some(latest) => {
                    tracing::error!(path = shown, %error, "the plugin document cannot be read; the last set goes on");
                    return self.start_from_kept(latest).await;
                }
                None => return Err(StartError::Unreadable { path: shown, error }),
            },
        };
        let digest = Document::parse(&text, DocumentFormat::Toml).ok().map(|document| document.digest);
        let unchanged = digest.is_some() && digest == self.history().file_digest().await?;
        if let Some(latest) = latest.clone().filter(|latest| unchanged && latest.origin != Origin::File) {
            // The operator has changed the set by other means since; that is what counts.
            return self.start_from_kept(latest).await;
        }
        let sent = Sent { text, format: DocumentFormat::Toml, origin: Origin::File };
        let applied = match &latest {
            Some(_) => self.apply(sent, false).await,
            None => self.apply_alone(&sent, Care::WhatRuns).await,
        };
        match (applied, latest) {
            (Ok(generation), _) => {
                complain(&generation);
                Ok(())
            }
            (Err(error), Some(latest)) => {
                tracing::error!(path = shown, "the last good set of plugins goes on: {error}");
                let refused = self.refused();
                self.start_from_kept(latest).await?;
                if let Some(refused) = refused {
                    self.remember_refusal(refused.origin, refused.faults.clone());
                }
                Ok(())
            }
            (Err(error), None) => Err(start_error(shown, error)),
        }
    }

    async fn start_without_file(&self, latest: Option<Kept>) -> Result<(), StartError> {
        match latest.filter(|latest| latest.origin != Origin::BuiltIn) {
            Some(latest) => self.start_from_kept(latest).await,
            None => {
                let text = DEFAULT.to_owned();
                let sent = Sent { text, format: DocumentFormat::Toml, origin: Origin::BuiltIn };
                let applied = self.apply(sent, false).await;
                applied.map(drop).map_err(|error| start_error("(built in)".to_owned(), error))
            }
        }
    }

    async fn start_from_kept(&self, latest: Kept) -> Result<(), StartError> {
        let number = latest.number;
        let resumed = self.resume(latest, Care::WhatRuns).await;
        complain(&*resumed.map_err(|faults| StartError::Lost { number, faults })?);
        Ok(())
    }
}

fn complain(generation: &Generation) {
    for fault in generation.broken.iter().flat_map(|broken| &broken.faults) {
        tracing::error!(
            pointer = fault.pointer,
            plugin.name = fault.plugin,
            "a plugin cannot be loaded, the others run: {}",
            fault.message
        );
    }
}

fn start_error(path: String, error: ApplyError) -> StartError {
    match error {
        ApplyError::Faults(faults) => StartError::Faults { path, faults },
        ApplyError::Store(error) => StartError::Store(error),
        ApplyError::Busy => {
            StartError::Faults { path, faults: vec![Fault::new(None, "", "another apply is running")] }
        }
    }
}
