//! Explains a claim that another node answered. Traces stay in the memory of the node that
//! made them; one that somebody asks for elsewhere travels through the database. Claims,
//! which are many, cost nothing for it, and looks, which are few, a moment.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::enrich::trace::Trace;
use crate::model::ids::TaskId;
use crate::store::StoreError;
use crate::store::plugin_traces::{self as rows, TraceRow};

/// How long the other nodes are given to answer, and how often that is looked for.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(25);
/// How long an answer stays.
const KEPT: Duration = Duration::from_mins(1);
/// An answer over this is not sent.
const MAX_BYTES: usize = 4 << 20;

/// The trace as another node has it, with that node's name; `None` when none answers.
pub async fn find(app: &App, task: TaskId) -> Result<Option<Value>, StoreError> {
    let asked_at = app.clock.now();
    if !app.wakeups.ask_for_trace(task) {
        return Ok(None);
    }
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        tokio::time::sleep(LOOK).await;
        // Clocks of nodes differ a little.
        let found = rows::find(&mut app.db.reader().await?, task, asked_at - KEPT / 2).await?;
        if let Some(row) = found {
            let mut trace: Value = serde_json::from_str(&row.trace).unwrap_or_default();
            trace["node"] = row.node.into();
            return Ok(Some(trace));
        }
        if tokio::time::Instant::now() > patience {
            return Ok(None);
        }
    }
}

/// Answers what other nodes ask, until the gateway stops.
pub async fn answer(app: App, stopping: CancellationToken) {
    let mut asked = app.wakeups.asked_for_traces();
    while let Some(task) = stopping.run_until_cancelled(asked.recv()).await {
        let task = match task {
            Ok(task) => task,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let Some(trace) = app.traces.find(&task.to_string()) else { continue };
        if let Err(error) = send(&app, task, &trace).await {
            tracing::warn!(%error, task.id = %task, "a trace that another node asked for was not sent");
        }
    }
}

async fn send(app: &App, task: TaskId, trace: &Trace) -> Result<(), StoreError> {
    let now = app.clock.now();
    let text = serde_json::to_string(trace).unwrap_or_default();
    if text.len() > MAX_BYTES {
        tracing::warn!(task.id = %task, bytes = text.len(), "a trace is too large to be sent to another node");
        return Ok(());
    }
    let node = app.plugins.node_name().to_owned();
    let row = TraceRow { task_id: task, claimed_at: trace.at, stored_at: now, node, trace: text };
    app.db
        .write_soon(move |conn| {
            Box::pin(async move {
                rows::delete_before(conn, now - KEPT).await?;
                rows::upsert(conn, &row).await
            })
        })
        .await
}
