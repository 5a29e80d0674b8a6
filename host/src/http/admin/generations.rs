//! Sets of plugins that were applied: listed, shown, compared; and what each node runs.

use axum::Json;
use axum::extract::{Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::http::error::Error;
use crate::model::time::seconds;
use crate::plugin::history::{Kept, Member};
use crate::plugin::plugins::RollbackError;
use crate::store::StoreError;

/// `GET /admin/plugins/generations`: newest first.
pub async fn list(app: App) -> Result<Json<Value>, Error> {
    let running = app.plugins.snapshot().number;
    let kept = app.plugins.generations().await.map_err(unreadable)?;
    let list: Vec<Value> = kept.iter().map(|kept| summary(kept, running)).collect();
    Ok(Json(json!({"generations": list})))
}

/// `GET /admin/plugins/generations/{number}`: with its document, to compare or to send again.
pub async fn show(app: App, Path(number): Path<String>) -> Result<Json<Value>, Error> {
    let kept = find(&app, &number).await?;
    let mut shown = summary(&kept, app.plugins.snapshot().number);
    shown["document"] = document(&kept);
    Ok(Json(shown))
}

#[derive(Deserialize)]
pub struct DiffQuery {
    to: Option<String>,
}

/// `GET /admin/plugins/generations/{number}/diff?to=M`: what makes generation M, or the
/// running one, of this one.
pub async fn diff(
    app: App,
    Path(number): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<Value>, Error> {
    let from = find(&app, &number).await?;
    let to = match query.to.filter(|to| !to.is_empty()) {
        Some(to) => find(&app, &to).await?,
        None => find(&app, &app.plugins.snapshot().number.to_string()).await?,
    };
    let patch = json_patch::diff(&document(&from), &document(&to));
    let of = |members: &[Member], name: &str| members.iter().find(|member| member.name == name).cloned();
    let added = to.members.iter().filter(|member| of(&from.members, &member.name).is_none());
    let removed = from.members.iter().filter(|member| of(&to.members, &member.name).is_none());
    let changed = to.members.iter().filter_map(|after| {
        let before = of(&from.members, &after.name).filter(|before| before != after)?;
        Some(json!({"name": after.name, "from": before, "to": after}))
    });
    Ok(Json(json!({
        "from": from.number,
        "to": to.number,
        "document": patch,
        "members": {
            "added": added.collect::<Vec<_>>(),
            "removed": removed.collect::<Vec<_>>(),
            "changed": changed.collect::<Vec<_>>(),
        },
    })))
}

/// `GET /admin/plugins/nodes`
pub async fn nodes(app: App) -> Result<Json<Value>, Error> {
    let nodes = app.plugins.nodes().await;
    let nodes = nodes.map_err(|error| Error::internal("failed to load nodes", error))?;
    Ok(Json(json!({"nodes": nodes})))
}

async fn find(app: &App, number: &str) -> Result<Kept, Error> {
    let number: u64 = number.parse().map_err(|_| Error::bad_request("invalid generation"))?;
    let kept = app.plugins.find(number).await.map_err(unreadable)?;
    kept.ok_or_else(|| Error::not_found(RollbackError::Unknown(number).to_string()))
}

fn document(kept: &Kept) -> Value {
    serde_json::from_str(&kept.document).unwrap_or_default()
}

fn summary(kept: &Kept, running: u64) -> Value {
    json!({
        "generation": kept.number,
        "digest": kept.digest,
        "origin": kept.origin,
        "reason": kept.reason,
        "applied_at": seconds(kept.applied_at),
        "running": kept.number == running,
        "plugins": kept.members,
    })
}

fn unreadable(error: StoreError) -> Error {
    Error::internal("failed to load generations", error)
}
