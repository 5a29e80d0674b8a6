//! Goes back by itself when a canary fails too often: to the newest set that has no canary
//! which was ever given up. Each time one more name is given up, so it comes to an end; and
//! the new set takes the number right after the one that failed, which one node gets.

use std::collections::HashSet;

use serde_json::Value;

use super::apply::{self, Supply};
use super::document::{Document, DocumentFormat};
use super::generation::{Generation, Origin};
use super::history::Kept;
use super::plugins::{ApplyError, Plugins};
use super::rollout::Role;

/// A set to go back to, and what to say of it.
struct Way {
    document: Document,
    supply: Supply,
    reason: String,
}

/// Watches canaries until the process ends.
pub fn retreat(plugins: Plugins) {
    tokio::spawn(async move {
        loop {
            plugins.alarm().notified().await;
            let running = plugins.snapshot();
            let Some(canary) = running.plugins.iter().find(|plugin| plugin.is_lost_canary()) else {
                continue;
            };
            match plugins.give_up(&running, &canary.name).await {
                Ok(Some(set)) => tracing::warn!(
                    generation = set.number,
                    plugin.name = canary.name,
                    "{}",
                    set.reason.as_deref().unwrap_or_default()
                ),
                // Another node, or an operator, was faster.
                Ok(None) => {}
                // The next call that fails tries again.
                Err(error) => tracing::error!(%error, plugin.name = canary.name, "a canary was not given up"),
            }
        }
    });
}

impl Plugins {
    /// Runs a set without the canary, unless the one that failed does not run any more.
    async fn give_up(
        &self,
        failed: &Generation,
        canary: &str,
    ) -> Result<Option<std::sync::Arc<Generation>>, ApplyError> {
        let _maker = self.applying().clone().lock_owned().await;
        let kept = self.generations().await.map_err(ApplyError::Store)?;
        let mut last = Vec::new();
        for way in ways(failed, canary, kept) {
            if self.snapshot().number != failed.number {
                return Ok(None);
            }
            let made = match apply::make(&self.workshop(), way.document.plugins, &way.supply).await {
                Ok(made) => made,
                Err(faults) => {
                    last = faults;
                    continue;
                }
            };
            let set = Generation {
                number: failed.number + 1,
                digest: way.document.digest,
                document: way.document.text,
                origin: Origin::Rollback,
                applied_at: self.clock().now(),
                reason: Some(way.reason),
                gave_up: Some(canary.to_owned()),
                plugins: made.plugins,
                recorder: self.recorder(way.document.recording),
                broken: Vec::new(),
            };
            let kept = self.history().keep(&set, made.components).await.map_err(ApplyError::Store)?;
            return Ok(kept.then(|| {
                self.node().has_made(set.number);
                self.swap(set)
            }));
        }
        Err(ApplyError::Faults(last))
    }
}

/// What to go back to, best first; last of all what runs now, without the canary.
fn ways(failed: &Generation, canary: &str, kept: Vec<Kept>) -> Vec<Way> {
    let mut given_up: HashSet<String> = kept.iter().filter_map(|kept| kept.gave_up.clone()).collect();
    given_up.insert(canary.to_owned());
    let because = format!("canary {canary} failed too often in generation {}", failed.number);
    let mut ways = Vec::new();
    for kept in kept.into_iter().filter(|kept| kept.number < failed.number) {
        let Ok(document) = Document::parse(&kept.document, DocumentFormat::Json) else { continue };
        let has_lost = document.plugins.iter().any(|plugin| {
            plugin.enabled && matches!(plugin.role, Role::Canary { .. }) && given_up.contains(&plugin.name)
        });
        if !has_lost {
            let reason = format!("{because}; generation {} runs again", kept.number);
            ways.push(Way { document, supply: Supply::Kept(kept.members), reason });
        }
    }
    if let Ok(document) = Document::parse(&without(&failed.document, canary), DocumentFormat::Json) {
        let reason = format!("{because}; no earlier set without it is kept, so it was taken out");
        ways.push(Way { document, supply: Supply::Kept(failed.members()), reason });
    }
    ways
}

/// The document without the plugin of this name.
fn without(document: &str, name: &str) -> String {
    let mut document: Value = serde_json::from_str(document).unwrap_or_default();
    if let Some(plugins) = document.get_mut("plugin").and_then(Value::as_array_mut) {
        plugins.retain(|plugin| plugin["name"] != name);
    }
    document.to_string()
}
