//! Tries again what could not be loaded when the gateway started: a file that was away, a
//! registry that was down.

use std::time::Duration;

use super::document::DocumentFormat;
use super::plugins::{Care, Plugins, Sent};

/// The first wait, and the longest.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// Tries until the set is whole or another was applied.
pub fn mend(plugins: Plugins) {
    if !plugins.snapshot().broken.is_empty() {
        tokio::spawn(run(plugins));
    }
}

async fn run(plugins: Plugins) {
    let mut pause = FIRST;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
        if let Err(problem) = plugins.mend().await {
            tracing::warn!(problem, "plugins that could not be loaded could not be tried again");
        }
        if plugins.snapshot().broken.is_empty() {
            return;
        }
    }
}

impl Plugins {
    async fn mend(&self) -> Result<(), String> {
        // Whoever makes a set now makes a whole one.
        let Some(_maker) = self.maker() else { return Ok(()) };
        let running = self.snapshot();
        if running.broken.is_empty() {
            return Ok(());
        }
        if running.number == 0 {
            let (text, origin) = (running.document.clone(), running.origin);
            let sent = Sent { text, format: DocumentFormat::Json, origin };
            return self
                .apply_alone(&sent, Care::WhatRuns)
                .await
                .map(drop)
                .map_err(|error| error.to_string());
        }
        let kept = self.find(running.number).await.map_err(|error| error.to_string())?;
        let kept = kept.ok_or_else(|| format!("generation {} is not kept any more", running.number))?;
        let refused = self.refused();
        self.resume(kept, Care::WhatRuns).await.map_err(|faults| super::plugins::lines(&faults))?;
        // That is no answer to a document that was refused.
        if let Some(refused) = refused {
            self.remember_refusal(refused.origin, refused.faults.clone());
        }
        Ok(())
    }
}
