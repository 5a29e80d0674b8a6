//! Emojis on issues and comments. An actor puts each of them once; again is no error.

use axum::Json;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::comment_path::CommentInPath;
use crate::app::App;
use crate::http::body::Body;
use crate::http::error::{Error, ErrorBody};
use crate::http::extract::Scope;
use crate::http::issue_path::IssueInPath;
use crate::model::actor::Actor;
use crate::model::reaction::{CommentReaction, IssueReaction};
use crate::store::reactions::{self, By};
use crate::store::{StoreError, issues};

/// Longer than any emoji, or name of one.
const EMOJI_CHARS: usize = 64;

/// What goes under `/api/issues`.
pub fn on_issues() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(add_to_issue, remove_from_issue))
}

#[derive(Deserialize, ToSchema)]
pub(super) struct EmojiSent {
    emoji: Option<String>,
}

impl EmojiSent {
    fn emoji(self) -> Result<String, Error> {
        let emoji = self.emoji.filter(|emoji| !emoji.is_empty());
        let emoji = emoji.ok_or_else(|| Error::bad_request("emoji is required"))?;
        if emoji.chars().count() > EMOJI_CHARS {
            return Err(Error::bad_request(format!("emoji must be {EMOJI_CHARS} characters or fewer")));
        }
        Ok(emoji)
    }
}

fn by(actor: Actor, emoji: &str) -> By<'_> {
    By { actor_type: actor.kind(), actor_id: actor.id(), emoji }
}

/// Puts an emoji on the issue.
#[utoipa::path(post, path = "/{id}/reactions", tag = "reactions",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = EmojiSent,
    responses((status = 201, body = IssueReaction), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody, description = "Removed meanwhile")))]
async fn add_to_issue(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    Body(sent): Body<EmojiSent>,
) -> Result<(StatusCode, Json<IssueReaction>), Error> {
    let failed = |error: StoreError| Error::internal("failed to add reaction", error);
    let emoji = sent.emoji()?;
    let (actor, id, now) = (scope.actor, issue.id, app.clock.now());
    let added = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let by = by(actor, &emoji);
                match reactions::insert_on_issue(c, id, by, now).await? {
                    Some(reaction) => Ok((Some(reaction), true)),
                    None => Ok((reactions::find_on_issue(c, id, by).await?, false)),
                }
            })
        })
        .await;
    let (reaction, is_new) = added.map_err(failed)?;
    let reaction = reaction.ok_or_else(|| Error::conflict("the reaction was removed meanwhile"))?;
    if is_new {
        app.events.by(actor, scope.workspace_id, "issue_reaction:added", || {
            json!({
                "reaction": reaction,
                "issue_id": issue.id,
                "issue_title": issue.title,
                "issue_status": issue.status,
                "creator_type": issue.creator_type,
                "creator_id": issue.creator_id,
            })
        });
    }
    Ok((StatusCode::CREATED, Json(reaction)))
}

/// Takes one's own emoji off the issue, where it may not be.
#[utoipa::path(delete, path = "/{id}/reactions", tag = "reactions",
    params(("id" = String, Path, description = "The id, or an identifier such as `KEY-12`")),
    request_body = EmojiSent,
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn remove_from_issue(
    app: App,
    scope: Scope,
    IssueInPath(issue): IssueInPath,
    Body(sent): Body<EmojiSent>,
) -> Result<StatusCode, Error> {
    let failed = |error: StoreError| Error::internal("failed to remove reaction", error);
    let emoji = sent.emoji()?;
    let (actor, id, taken) = (scope.actor, issue.id, emoji.clone());
    let removed = app
        .db
        .write(move |c| Box::pin(async move { reactions::delete_on_issue(c, id, by(actor, &taken)).await }))
        .await;
    if removed.map_err(failed)? {
        app.events.by(
            actor,
            scope.workspace_id,
            "issue_reaction:removed",
            || json!({"issue_id": id, "emoji": emoji, "actor_type": actor.kind(), "actor_id": actor.id()}),
        );
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Puts an emoji on the comment.
#[utoipa::path(post, path = "/reactions", tag = "reactions",
    params(("commentId" = String, Path, description = "The comment's id")),
    request_body = EmojiSent,
    responses((status = 201, body = CommentReaction), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody, description = "Removed meanwhile")))]
pub(super) async fn add_to_comment(
    app: App,
    scope: Scope,
    CommentInPath(comment): CommentInPath,
    Body(sent): Body<EmojiSent>,
) -> Result<(StatusCode, Json<CommentReaction>), Error> {
    let failed = |error: StoreError| Error::internal("failed to add reaction", error);
    let emoji = sent.emoji()?;
    let (actor, id, issue_id, now) = (scope.actor, comment.id, comment.issue_id, app.clock.now());
    let added = app
        .db
        .write(move |c| {
            Box::pin(async move {
                let by = by(actor, &emoji);
                match reactions::insert_on_comment(c, id, by, now).await? {
                    Some(reaction) => Ok((Some(reaction), issues::find(c, issue_id).await?)),
                    None => Ok((reactions::find_on_comment(c, id, by).await?, None)),
                }
            })
        })
        .await;
    let (reaction, issue) = added.map_err(failed)?;
    let reaction = reaction.ok_or_else(|| Error::conflict("the reaction was removed meanwhile"))?;
    if let Some(issue) = issue {
        app.events.by(actor, scope.workspace_id, "reaction:added", || {
            json!({
                "reaction": reaction,
                "issue_id": issue.id,
                "issue_title": issue.title,
                "issue_status": issue.status,
                "comment_id": comment.id,
                "comment_author_type": comment.author_type,
                "comment_author_id": comment.author_id,
            })
        });
    }
    Ok((StatusCode::CREATED, Json(reaction)))
}

/// Takes one's own emoji off the comment, where it may not be.
#[utoipa::path(delete, path = "/reactions", tag = "reactions",
    params(("commentId" = String, Path, description = "The comment's id")),
    request_body = EmojiSent,
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn remove_from_comment(
    app: App,
    scope: Scope,
    CommentInPath(comment): CommentInPath,
    Body(sent): Body<EmojiSent>,
) -> Result<StatusCode, Error> {
    let failed = |error: StoreError| Error::internal("failed to remove reaction", error);
    let emoji = sent.emoji()?;
    let (actor, id, taken) = (scope.actor, comment.id, emoji.clone());
    let removed = app
        .db
        .write(move |c| Box::pin(async move { reactions::delete_on_comment(c, id, by(actor, &taken)).await }))
        .await;
    if removed.map_err(failed)? {
        app.events.by(actor, scope.workspace_id, "reaction:removed", || {
            json!({
                "comment_id": id,
                "issue_id": comment.issue_id,
                "emoji": emoji,
                "actor_type": actor.kind(),
                "actor_id": actor.id(),
            })
        });
    }
    Ok(StatusCode::NO_CONTENT)
}
