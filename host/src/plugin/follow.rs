//! Runs what another node applied. Nodes meet in the database: whoever finds a newer number
//! there makes that set and runs it under the same number. A node that applied one says so,
//! and the others look at once; when its word is lost, they look soon all the same.

use std::time::Duration;

use super::nodes::Stuck;
use super::plugins::Plugins;
use crate::store::StoreError;

/// How often a node looks; a change is everywhere within a second.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks a set that does not run here is left alone.
const PATIENCE: u32 = 60;

/// Follows until the process ends, where the database is shared.
pub fn follow(plugins: Plugins) {
    if plugins.history().shared().is_some() {
        tokio::spawn(run(plugins));
    }
}

async fn run(plugins: Plugins) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let hurry = plugins.hurry();
    let mut waiting = 0_u32;
    loop {
        tokio::select! {
            _ = looks.tick() => waiting = waiting.saturating_sub(1),
            () = hurry.notified() => {}
        }
        match look(&plugins, waiting > 0).await {
            Ok(None) => {}
            Ok(Some(stuck)) => {
                tell(&stuck);
                plugins.remember_stuck(stuck);
                waiting = PATIENCE;
            }
            Err(error) => tracing::debug!(%error, "the plugin sets cannot be read"),
        }
    }
}

fn tell(stuck: &Stuck) {
    for fault in &stuck.faults {
        tracing::error!(
            generation = stuck.generation,
            pointer = fault.pointer,
            plugin.name = fault.plugin,
            "a set that another node applied does not run here: {}",
            fault.message
        );
    }
}

/// What the newest set lacks to run here. One that did not run is left alone while
/// `patient`; one that is newer still is not.
async fn look(plugins: &Plugins, patient: bool) -> Result<Option<Stuck>, StoreError> {
    let Some(number) = plugins.history().latest_number().await? else { return Ok(None) };
    let is_known = patient && plugins.stuck().is_some_and(|stuck| stuck.generation == number);
    if number <= plugins.snapshot().number || is_known {
        return Ok(None);
    }
    let Some(latest) = plugins.history().latest().await? else { return Ok(None) };
    let generation = latest.number;
    Ok(plugins.resume_newer(latest).await.err().map(|faults| Stuck { generation, faults }))
}
