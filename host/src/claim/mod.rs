//! The answer to a claim: what it needs is loaded, put together, and sent through the
//! stages.

pub mod body;
pub mod bundle;
mod context;
pub mod draft;
pub mod elsewhere;
mod respond;
mod source;

use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::app::App;
use crate::dispatch::claim::Claimed;
use crate::dispatch::{self, lifecycle};
use crate::enrich::{self, Stopped};
use crate::plugin::generation::Generation;
use crate::store::StoreError;

pub use draft::kind;
pub use respond::SkillDelivery;

#[derive(Debug, Error)]
pub enum AnswerError {
    /// The task stays dispatched and is handed out again when its lease is over.
    #[error("failed to build task response")]
    Load(#[source] StoreError),
    #[error("failed to settle a stopped task")]
    Settle(#[source] StoreError),
}

/// The claimed task as the daemon gets it; `None` when a plugin stopped it, and then the
/// task has failed or waits in the queue again, with the reason.
pub async fn answer(
    app: &App,
    claimed: &mut Claimed,
    generation: &Arc<Generation>,
    delivery: SkillDelivery,
) -> Result<Option<Map<String, Value>>, AnswerError> {
    let context = Box::pin(context::load(app, claimed)).await.map_err(AnswerError::Load)?;
    let body = respond::assemble(claimed, &context, delivery);
    let (result, trace) = enrich::run(generation, draft::of(claimed, context, body)).await;
    app.traces.insert(trace);
    match result {
        Ok(body) => Ok(Some(body)),
        Err(Stopped::Denied { plugin, code, reason }) => {
            tracing::info!(task.id = %claimed.task.id, plugin.name = plugin, code, "a plugin denied a task");
            let failure = lifecycle::Failure {
                error: format!("denied by plugin {plugin}: {reason} ({code})"),
                reason: "plugin_denied".to_owned(),
                session_id: None,
                work_dir: None,
            };
            let settled = lifecycle::fail(app, claimed.task.clone(), claimed.workspace_id, failure).await;
            settled.map_err(AnswerError::Settle)?;
            Ok(None)
        }
        Err(Stopped::Failed { plugin, message }) => {
            let reason = format!("plugin {plugin} failed: {message}");
            dispatch::claim::put_back(app, claimed, reason).await.map_err(AnswerError::Settle)?;
            Ok(None)
        }
    }
}
