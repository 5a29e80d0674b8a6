//! Whom a comment would start, before it is sent.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::dispatch::permission::{self, Principal};
use crate::dispatch::route::{Author, Source, Trigger};
use crate::dispatch::triggers::{self, Draft};
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::actor::Actor;
use crate::model::ids::{AgentId, CommentId};
use crate::model::issue::{Comment, Issue};
use crate::store::{Conn, StoreError, agents, comments};

#[derive(Deserialize, ToSchema)]
pub(super) struct DraftSent {
    content: Option<String>,
    /// The comment that this one would answer.
    parent_id: Option<String>,
    /// The comment that would get this text.
    editing_comment_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CommentPreview)]
pub(super) struct Preview {
    agents: Vec<TriggeredAgent>,
}

#[derive(Serialize, ToSchema)]
struct TriggeredAgent {
    id: AgentId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    source: Source,
    reason: &'static str,
}

/// Lists the agents that a text would start, those that wait to work already included.
#[utoipa::path(post, path = "/{id}/comments/trigger-preview", tag = "comments",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = DraftSent,
    responses((status = 200, body = Preview), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
pub(super) async fn preview(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    Body(sent): Body<DraftSent>,
) -> Result<Json<Preview>, Error> {
    let failed = |error| Error::internal("failed to preview triggers", error);
    let mut conn = app.db.reader().await.map_err(failed)?;
    let editing = editing(&mut conn, &issue, sent.editing_comment_id.as_deref()).await?;
    let parent = parent(&mut conn, &issue, editing.as_ref(), sent.parent_id.as_deref()).await?;
    let Some(content) = sent.content.filter(|content| !content.is_empty()) else {
        return Ok(Json(Preview { agents: Vec::new() }));
    };
    let by = permission::of_actor(&mut conn, scope.actor).await.map_err(failed)?;
    let (author, gates): (Author, Vec<Principal>) = match &editing {
        Some(comment) => {
            let wrote = triggers::principal_of(&mut conn, comment).await.map_err(failed)?;
            (Author::of(comment), vec![by, wrote])
        }
        None => (author(scope.actor), vec![by]),
    };
    let id = editing.as_ref().map(|comment| comment.id);
    let draft = Draft { content: &content, author, parent: parent.as_ref(), id };
    let plan = triggers::plan(&mut conn, &issue, draft, &gates).await.map_err(failed)?;
    let mut agents = Vec::new();
    for trigger in &plan.routing.triggers {
        agents.extend(shown(&mut conn, trigger).await.map_err(failed)?);
    }
    Ok(Json(Preview { agents }))
}

fn author(actor: Actor) -> Author {
    match actor {
        Actor::Member(user) => Author::Member(user),
        Actor::Agent { id, .. } => Author::Agent(id),
    }
}

/// The comment that would be changed.
async fn editing(conn: &mut Conn, issue: &Issue, sent: Option<&str>) -> Result<Option<Comment>, Error> {
    let Some(text) = sent else { return Ok(None) };
    let id = CommentId::parse(text).ok_or_else(|| Error::bad_request("invalid editing_comment_id"))?;
    let found = comments::find_on(conn, issue.id, id).await?;
    found.map(Some).ok_or_else(|| Error::bad_request("invalid editing comment"))
}

/// The comment answered: that of the comment being changed, which cannot move.
async fn parent(
    conn: &mut Conn,
    issue: &Issue,
    editing: Option<&Comment>,
    sent: Option<&str>,
) -> Result<Option<Comment>, Error> {
    let sent = match sent {
        Some(text) => Some(CommentId::parse(text).ok_or_else(|| Error::bad_request("invalid parent_id"))?),
        None => None,
    };
    let id = match editing {
        Some(comment) if sent.is_some() && sent != comment.parent_id => {
            return Err(Error::bad_request("parent_id does not match editing comment"));
        }
        Some(comment) => comment.parent_id,
        None => sent,
    };
    let Some(id) = id else { return Ok(None) };
    let found = comments::find_on(conn, issue.id, id).await?;
    found.map(Some).ok_or_else(|| Error::bad_request("invalid parent comment"))
}

async fn shown(conn: &mut Conn, trigger: &Trigger) -> Result<Option<TriggeredAgent>, StoreError> {
    let found = agents::find(conn, trigger.run.agent_id).await?;
    Ok(found.map(|agent| TriggeredAgent {
        id: agent.id,
        name: agent.name,
        avatar_url: agent.avatar_url,
        source: trigger.source,
        reason: trigger.source.reason(),
    }))
}
