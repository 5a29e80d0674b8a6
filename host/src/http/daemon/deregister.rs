//! A daemon says goodbye.

use std::collections::BTreeSet;

use axum::Json;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::Done;
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::Error;
use crate::http::extract::{Caller, may_use};
use crate::model::ids::RuntimeId;
use crate::store::batch::Ids;
use crate::store::{StoreError, runtimes};
use crate::telemetry::metrics;

/// The most runtimes that one call may name.
const ENTRIES: usize = 1000;

/// The runtimes that go offline.
#[derive(Deserialize, ToSchema)]
pub(super) struct Goodbye {
    /// At least one, at most 1000.
    runtime_ids: Option<Vec<Option<String>>>,
}

/// Takes runtimes offline. Ids that are unknown or not the caller's are passed over.
#[utoipa::path(post, path = "/api/daemon/deregister", tag = "daemon", request_body = Goodbye,
    responses((status = 200, body = Done)))]
pub(super) async fn deregister(
    app: App,
    caller: Caller,
    Body(sent): Body<Goodbye>,
) -> Result<Json<Done>, Error> {
    let sent = sent.runtime_ids.unwrap_or_default();
    if sent.is_empty() {
        return Err(Error::bad_request("runtime_ids is required"));
    }
    if sent.len() > ENTRIES {
        return Err(Error::bad_request(format!(
            "runtime_ids has {} entries; send at most {ENTRIES}",
            sent.len()
        )));
    }
    let ids: Option<BTreeSet<RuntimeId>> =
        sent.iter().map(|id| RuntimeId::parse(id.as_deref().unwrap_or_default())).collect();
    let ids = ids.ok_or_else(|| Error::bad_request("invalid runtime_ids"))?;

    let failed = |error| Error::internal("failed to deregister runtimes", error);
    let mut known = Vec::new();
    for id in ids {
        let found = runtimes::find(&mut app.db.reader().await.map_err(failed)?, id).await.map_err(failed)?;
        if let Some(runtime) = found
            && may_use(&app, &caller, runtime.workspace_id).await.map_err(failed)?
        {
            known.push(runtime);
        }
    }
    let gone = Ids::of(known.iter().map(|runtime| runtime.id.0));
    let now = app.clock.now();
    let stored: Result<(), StoreError> =
        app.db.write(move |c| Box::pin(async move { runtimes::set_offline(c, gone, now).await })).await;
    stored.map_err(failed)?;
    for runtime in &known {
        app.liveness.forget(runtime.id);
        metrics::runtime_offline(&runtime.provider);
        tracing::info!(runtime.id = %runtime.id, "a runtime was deregistered");
    }
    let workspaces: BTreeSet<_> = known.iter().map(|runtime| runtime.workspace_id).collect();
    for workspace in workspaces {
        app.events.system(workspace, "daemon:register", || json!({"action": "deregister"}));
    }
    Ok(Done::json())
}
