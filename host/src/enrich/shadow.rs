//! Shadows: plugins that are called beside a claim, or beside a task that is about to be queued,
//! with what the live ones get. Nobody waits for them, and nothing they do or fail to do reaches
//! the task; what they would have done comes into its trace when they are done.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::task::TaskTracker;

use super::trace::{Applied, Outcome, Step};
use crate::plugin::error::PluginError;
use crate::plugin::plugin::Plugin;
use crate::plugin::report::{Report, Times};
use crate::plugin::stage::Stage;

/// How many run at once, over all claims: a quarter of what the pool of instances holds, so
/// that live plugins never wait for them. One that finds no place is not called, and the
/// trace says so.
static PLACES: Semaphore = Semaphore::const_new(16);

/// Leave to run; held by whoever does.
pub fn place() -> Option<SemaphorePermit<'static>> {
    PLACES.try_acquire().ok()
}

/// The shadows of one claim, or of one enqueue.
#[derive(Clone, Debug, Default)]
pub struct Shadows {
    running: TaskTracker,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Shadows {
    /// Calls a shadow and notes what it would have done.
    pub fn call<F>(&self, plugin: &Arc<Plugin>, stage: Stage, call: impl FnOnce(Arc<Plugin>) -> F)
    where
        F: Future<Output = Report<Applied>> + Send + 'static,
    {
        let Some(place) = place() else {
            self.steps().push(step(plugin, stage, Times::default(), Err(PluginError::Overloaded)));
            return;
        };
        let (call, plugin, steps) = (call(plugin.clone()), plugin.clone(), self.steps.clone());
        self.running.spawn(async move {
            let report = call.await;
            drop(place);
            let step = step(&plugin, stage, report.times, report.result);
            steps.lock().unwrap_or_else(PoisonError::into_inner).push(step);
        });
    }

    /// Of those that are done.
    pub fn list(&self) -> Vec<Step> {
        self.steps().clone()
    }

    pub fn are_any(&self) -> bool {
        !self.running.is_empty() || !self.steps().is_empty()
    }

    /// Returns when every one is done. There must be no further call.
    pub async fn settled(&self) {
        self.running.close();
        self.running.wait().await;
    }

    pub fn bytes(&self) -> usize {
        self.steps().iter().map(Step::bytes).sum()
    }

    fn steps(&self) -> MutexGuard<'_, Vec<Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn step(plugin: &Plugin, stage: Stage, times: Times, result: Result<Applied, PluginError>) -> Step {
    let (would, why, changes) = match result {
        Ok(Applied::Changed(changes)) if changes.is_empty() => (Outcome::Unchanged, None, changes),
        Ok(Applied::Changed(changes)) => (Outcome::Changed, None, changes),
        Ok(Applied::Denied { code, reason }) => (Outcome::Denied, Some((code, reason)), Vec::new()),
        Err(error) => {
            // At `prepare` nothing that fails stops a task.
            let would = match stage {
                Stage::Prepare => Outcome::Skipped,
                _ => Outcome::of_failure(plugin, &error),
            };
            (would, Some((error.code().to_owned(), error.to_string())), Vec::new())
        }
    };
    let mut step = Step::new(plugin, stage, times, Outcome::Shadow, why, changes);
    step.would = Some(would);
    step
}
