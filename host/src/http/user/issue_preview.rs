//! `POST /api/issues/preview-trigger`: which runs a write would start.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::issue_fields as fields;
use crate::app::App;
use crate::dispatch::preview::{self, Considered};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::model::ids::{AgentId, IssueId};

/// The most issues that one call may name.
const ISSUES: usize = 500;

#[derive(Deserialize, ToSchema)]
pub(super) struct PreviewSent {
    issue_ids: Option<Vec<String>>,
    /// A new issue is meant, not those named.
    is_create: Option<bool>,
    assignee_type: Option<String>,
    assignee_id: Option<String>,
    status: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssuePreview)]
pub(super) struct Preview {
    triggers: Vec<TriggerBody>,
    total_count: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PreviewedTrigger)]
struct TriggerBody {
    /// Empty for a new issue.
    issue_id: String,
    agent_id: AgentId,
    /// `assign` or `status`.
    source: &'static str,
    /// Whether a note would reach the agent.
    handoff_supported: bool,
}

/// Which runs a create or update would start. Nothing is written.
#[utoipa::path(
    post,
    path = "/preview-trigger",
    tag = "issues",
    request_body = PreviewSent,
    responses((status = 200, body = Preview), (status = 400, body = ErrorBody)),
)]
pub(super) async fn preview(
    app: App,
    scope: Scope,
    Body(sent): Body<PreviewSent>,
) -> Result<Json<Preview>, Error> {
    let ids = sent.issue_ids.unwrap_or_default();
    if ids.len() > ISSUES {
        return Err(Error::bad_request("too many issue_ids"));
    }
    let unless_empty = |text: Option<String>| text.filter(|text| !text.is_empty());
    let write = Considered {
        assignee_type: unless_empty(sent.assignee_type),
        assignee_id: fields::optional_id("assignee_id", unless_empty(sent.assignee_id).as_deref())?,
        status: unless_empty(sent.status),
    };
    let triggers = if sent.is_create.unwrap_or(false) {
        preview::of_create(&app, scope.workspace_id, scope.actor, &write).await?
    } else {
        let ids = ids.iter().filter_map(|text| IssueId::parse(text)).collect();
        preview::of_update(&app, scope.workspace_id, scope.actor, ids, &write).await?
    };
    let triggers: Vec<TriggerBody> = triggers
        .into_iter()
        .map(|trigger| TriggerBody {
            issue_id: trigger.issue_id.map(|id| id.to_string()).unwrap_or_default(),
            agent_id: trigger.run.agent_id,
            source: trigger.run.source.as_str(),
            handoff_supported: trigger.handoff_supported,
        })
        .collect();
    Ok(Json(Preview { total_count: triggers.len(), triggers }))
}
