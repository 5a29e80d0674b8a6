//! Stage `finished`: plugins hear that a task came to its end. Nothing waits for them.

use std::sync::Arc;

use super::{record, shadow};
use crate::plugin::generation::Generation;
use crate::plugin::rollout::Role;
use crate::plugin::stage::{Stage, Subject};

/// Calls every plugin of the stage, one after the other, off the caller's path. `task` is
/// made only when there is one. How many calls run at once is bounded by each plugin's
/// places; one that finds none is logged and lost.
pub fn tell(generation: &Arc<Generation>, subject: impl FnOnce() -> Subject, task: impl FnOnce() -> String) {
    if !generation.is_served(Stage::Finished) {
        return;
    }
    let (generation, subject, task) = (generation.clone(), subject(), task());
    tokio::spawn(async move {
        for plugin in generation.turns(Stage::Finished, &subject) {
            if plugin.role == Role::Shadow {
                // Those behind it do not wait, and its counters tell how it went.
                if let Some(place) = shadow::place() {
                    let (plugin, subject, task) = (plugin.clone(), subject.clone(), task.clone());
                    tokio::spawn(async move {
                        plugin.finished(&subject, &task).await;
                        drop(place);
                    });
                }
                continue;
            }
            let take = record::begin(&generation, Stage::Finished, &subject, || {
                serde_json::from_str(&task).unwrap_or_default()
            });
            let report = plugin.finished(&subject, &task).await;
            if let Some(take) = take {
                take.end(plugin, &subject, &report);
            }
            if let Err(error) = report.result {
                tracing::warn!(
                    task.id = subject.task_id, plugin.name = plugin.name, %error,
                    "a plugin did not take the end of a task"
                );
            }
        }
    });
}
