//! Short commands to daemons: asked for, looked up, reported on.

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use crate::app::App;
use crate::model::ids::{RuntimeId, UserId};
use crate::model::pending_request::{Kind, PendingRequest, RequestStatus};
use crate::store::{StoreError, pending_requests};

/// How many requests of one kind may wait for a runtime.
const WAITING: i64 = 256;

#[derive(Debug, Error)]
pub enum AskError {
    #[error("an update is already in progress for this runtime")]
    UpdateUnderWay,
    #[error("{WAITING} requests already wait for this runtime")]
    TooMany,
    #[error("the request could not be stored")]
    Store(#[from] StoreError),
}

/// Stores a request, which the runtime's daemon gets with one of its next beats.
pub async fn ask(
    app: &App,
    runtime: RuntimeId,
    kind: Kind,
    by: UserId,
    input: &impl Serialize,
) -> Result<PendingRequest, AskError> {
    let now = app.clock.now();
    let request = PendingRequest {
        id: Uuid::new_v4().simple().to_string(),
        runtime_id: runtime,
        kind,
        status: RequestStatus::Pending,
        requested_by: Some(by),
        input: serde_json::to_value(input).unwrap_or_default(),
        output: Value::Object(serde_json::Map::new()),
        error: None,
        run_started_at: None,
        created_at: now,
        updated_at: now,
    };
    let request: PendingRequest = app
        .db
        .write(move |c| {
            Box::pin(async move {
                if kind == Kind::Update {
                    pending_requests::expire_update(c, runtime, now).await?;
                } else if pending_requests::count_pending(c, runtime, kind, now).await? >= WAITING {
                    return Err(AskError::TooMany);
                }
                if pending_requests::insert(c, &request).await? {
                    Ok(request)
                } else {
                    Err(AskError::UpdateUnderWay)
                }
            })
        })
        .await?;
    app.pending.add(runtime, kind);
    Ok(request)
}

/// The runtime's request as it is now; `None` once it is forgotten.
pub async fn find(
    app: &App,
    runtime: RuntimeId,
    kind: Kind,
    id: &str,
) -> Result<Option<PendingRequest>, StoreError> {
    // Anything else is no id, and need not reach the database.
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let found = pending_requests::find(&mut app.db.reader().await?, id).await?;
    let found = found.filter(|request| request.runtime_id == runtime && request.kind == kind);
    Ok(found.and_then(|request| request.as_of(app.clock.now())))
}

/// The daemon did what it was asked, and this came of it.
pub async fn complete(app: &App, id: String, output: Value) -> Result<(), StoreError> {
    finish(app, id, RequestStatus::Completed, output, None).await
}

/// The daemon could not.
pub async fn fail(app: &App, id: String, error: String) -> Result<(), StoreError> {
    finish(app, id, RequestStatus::Failed, Value::Object(serde_json::Map::new()), Some(error)).await
}

async fn finish(
    app: &App,
    id: String,
    status: RequestStatus,
    output: Value,
    error: Option<String>,
) -> Result<(), StoreError> {
    let now = app.clock.now();
    app.db
        .write(move |c| {
            Box::pin(async move {
                // Of two reports the first counts; the second has nothing to add.
                pending_requests::finish(c, &id, status, &output, error.as_deref(), now).await.map(drop)
            })
        })
        .await
}
