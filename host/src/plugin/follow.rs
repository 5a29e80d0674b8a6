//! Runs what another node applied. Nodes meet in the database: whoever finds a newer number
//! there makes that set and runs it under the same number.

use std::time::Duration;

use super::document::Fault;
use super::plugins::Plugins;
use crate::store::StoreError;

/// How often a node looks; a change is everywhere within a second.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks a set that does not run here is left alone.
const PATIENCE: u32 = 60;

/// Follows until the process ends, where the database is shared.
pub fn follow(plugins: Plugins) {
    if plugins.history().is_shared() {
        tokio::spawn(run(plugins));
    }
}

async fn run(plugins: Plugins) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waiting = 0_u32;
    loop {
        looks.tick().await;
        waiting = waiting.saturating_sub(1);
        if waiting > 0 {
            continue;
        }
        match look(&plugins).await {
            Ok(()) => {}
            Err(Trouble::Store(error)) => tracing::debug!(%error, "the plugin sets cannot be read"),
            Err(Trouble::Faults(number, faults)) => {
                for fault in faults {
                    tracing::error!(
                        generation = number,
                        pointer = fault.pointer,
                        plugin.name = fault.plugin,
                        "a set that another node applied does not run here: {}",
                        fault.message
                    );
                }
                waiting = PATIENCE;
            }
        }
    }
}

enum Trouble {
    Store(StoreError),
    Faults(u64, Vec<Fault>),
}

async fn look(plugins: &Plugins) -> Result<(), Trouble> {
    let latest = plugins.history().latest_number().await.map_err(Trouble::Store)?;
    if latest.is_none_or(|latest| latest <= plugins.snapshot().number) {
        return Ok(());
    }
    let Some(latest) = plugins.history().latest().await.map_err(Trouble::Store)? else { return Ok(()) };
    let number = latest.number;
    match plugins.resume_newer(latest).await {
        Ok(()) => Ok(()),
        Err(faults) => Err(Trouble::Faults(number, faults)),
    }
}
