//! An autopilot that nearly always fails is paused, and whoever made it is told.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lifecycle::to_the_end;
use crate::app::App;
use crate::model::ids::{AgentId, UserId};
use crate::model::inbox::InboxItem;
use crate::model::time::Time;
use crate::store::autopilot_settings::{self, Failing};
use crate::store::{Conn, StoreError, agents, inbox};

/// When the first look is, and how often one follows.
const FIRST: Duration = Duration::from_mins(1);
const EVERY: Duration = Duration::from_hours(24);
/// How far back a look goes.
const WINDOW: TimeDelta = TimeDelta::days(7);
/// With fewer runs nothing can be said.
const RUNS: i64 = 50;
/// Of a hundred runs, so many failed.
const FAILED_PERCENT: i64 = 90;

/// Looks every day until the gateway stops.
pub async fn keep(app: App, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + FIRST, EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
        if let Err(error) = once(&app).await {
            tracing::error!(error = ?error, "failing autopilots were not looked for");
        }
    }
}

/// Pauses what fails. Gives how many there were.
pub async fn once(app: &App) -> Result<usize, StoreError> {
    let since = app.clock.now() - WINDOW;
    let busy = autopilot_settings::list_busy(&mut app.db.reader().await?, since, RUNS).await?;
    let mut paused = 0;
    for failing in busy.into_iter().filter(is_failing) {
        let id = failing.id;
        match pause(app, failing).await {
            Ok(done) => paused += usize::from(done),
            Err(error) => tracing::error!(autopilot.id = %id, error = ?error, "an autopilot was not paused"),
        }
    }
    Ok(paused)
}

fn is_failing(autopilot: &Failing) -> bool {
    autopilot.failed * 100 >= autopilot.runs * FAILED_PERCENT
}

async fn pause(app: &App, failing: Failing) -> Result<bool, StoreError> {
    let app = app.clone();
    to_the_end(async move {
        let now = app.clock.now();
        let (id, workspace) = (failing.id, failing.workspace_id);
        let (paused, item): (bool, Option<InboxItem>) =
            app.db.write(move |c| Box::pin(store(c, failing, now))).await?;
        if paused {
            tracing::warn!(autopilot.id = %id, "an autopilot nearly always failed and is paused");
            app.events.system(workspace, "autopilot:updated", || json!({"autopilot_id": id}));
        }
        if let Some(item) = item {
            app.events.system(workspace, "inbox:new", || item.added());
        }
        Ok(paused)
    })
    .await
}

async fn store(
    conn: &mut Conn,
    failing: Failing,
    now: Time,
) -> Result<(bool, Option<InboxItem>), StoreError> {
    if !autopilot_settings::pause(conn, failing.id, now).await? {
        return Ok((false, None));
    }
    let (recipient, agent) = if failing.created_by_type == "member" {
        (Some(UserId(failing.created_by_id)), Uuid::nil())
    } else {
        let agent = agents::find(conn, AgentId(failing.created_by_id)).await?;
        (agent.and_then(|agent| agent.owner_id), failing.created_by_id)
    };
    let Some(recipient_id) = recipient else { return Ok((true, None)) };
    let item = InboxItem {
        id: Uuid::now_v7(),
        workspace_id: failing.workspace_id,
        recipient_id,
        kind: "autopilot_paused",
        severity: "attention",
        issue_id: None,
        title: format!("Autopilot paused: {}", failing.title),
        body: Some(format!("{} of its last {} runs failed.", failing.failed, failing.runs)),
        agent_id: agent,
        details: json!({"autopilot_id": failing.id, "runs": failing.runs, "failed": failing.failed}),
        created_at: now,
    };
    inbox::insert(conn, &item).await?;
    Ok((true, Some(item)))
}
