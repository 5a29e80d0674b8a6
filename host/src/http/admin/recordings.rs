//! Sampled calls of plugins, for a look and for a replay.

use axum::Json;
use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::App;
use crate::http::error::Error;
use crate::model::time::nanos;
use crate::plugin::stage::Stage;
use crate::store::StoreError;
use crate::store::plugin_recordings as rows;

const LIMIT: i64 = 50;
const MOST: i64 = 10_000;

#[derive(Deserialize)]
pub struct ListQuery {
    plugin: Option<String>,
    stage: Option<String>,
    limit: Option<String>,
}

/// `GET /admin/plugins/recordings?plugin=&stage=&limit=`: newest first, without what was
/// said.
pub async fn list(app: App, Query(query): Query<ListQuery>) -> Result<Json<Value>, Error> {
    let limit = match query.limit.as_deref() {
        None | Some("") => LIMIT,
        Some(text) => text.parse().ok().filter(|limit| (1..=MOST).contains(limit)).ok_or_else(|| {
            Error::bad_request(format!("limit: `{text}` is no whole number from 1 to {MOST}"))
        })?,
    };
    let plugin = query.plugin.filter(|plugin| !plugin.is_empty());
    let stage = query.stage.filter(|stage| !stage.is_empty());
    if let Some(name) =
        stage.as_deref().filter(|name| !Stage::ALL.iter().any(|stage| stage.as_str() == *name))
    {
        let known: Vec<&str> = Stage::ALL.iter().map(|stage| stage.as_str()).collect();
        return Err(Error::bad_request(format!(
            "stage: `{name}` is no stage; there are {}",
            known.join(", ")
        )));
    }
    let list =
        async { rows::list(&mut app.db.reader().await?, plugin.as_deref(), stage.as_deref(), limit).await };
    let list = list.await.map_err(unreadable)?;
    let shown = list.into_iter().map(|row| {
        json!({
            "id": row.id,
            "at": nanos(row.at),
            "plugin": row.plugin,
            "stage": row.stage,
            "task_id": row.task_id,
            "generation": row.generation,
            "outcome": row.outcome,
            "bytes": row.bytes,
        })
    });
    Ok(Json(json!({"recordings": shown.collect::<Vec<_>>()})))
}

/// `GET /admin/plugins/recordings/{id}`: with its input and output.
pub async fn show(app: App, Path(id): Path<String>) -> Result<Json<Value>, Error> {
    let id = Uuid::try_parse(&id).map_err(|_| Error::bad_request("invalid recording"))?;
    let found = async { rows::find(&mut app.db.reader().await?, id).await };
    let found = found.await.map_err(unreadable)?;
    let text = found.ok_or_else(|| Error::not_found("this recording is not kept"))?;
    Ok(Json(serde_json::from_str(&text).unwrap_or_default()))
}

fn unreadable(error: StoreError) -> Error {
    Error::internal("failed to load recordings", error)
}
