//! Who follows an issue from now on, and the line in its timeline: written in the
//! transaction of what caused them, told after its commit.

use serde_json::json;
use uuid::Uuid;

use crate::app::App;
use crate::model::activity::Activity;
use crate::model::actor::Actor;
use crate::model::ids::{IssueId, WorkspaceId};
use crate::model::mention::{MentionKind, mentions};
use crate::model::subscriber::Subscriber;
use crate::model::time::Time;
use crate::store::{Conn, StoreError, subscribers};

/// More mentions than this in one text are no conversation.
const MENTIONS: usize = 50;

/// Adds one follower; `None` when they follow already or do not belong here.
pub async fn add(
    conn: &mut Conn,
    issue: IssueId,
    (user_type, user_id): (&str, Uuid),
    reason: &str,
    now: Time,
) -> Result<Option<Subscriber>, StoreError> {
    subscribers::insert(conn, issue, user_type, user_id, reason, now).await
}

/// Adds the people and agents that a text mentions.
pub async fn add_mentioned(
    conn: &mut Conn,
    issue: IssueId,
    text: &str,
    now: Time,
) -> Result<Vec<Subscriber>, StoreError> {
    let mut added = Vec::new();
    for mention in mentions(text).into_iter().take(MENTIONS) {
        let who = match (mention.kind, mention.id) {
            (MentionKind::Member, Some(id)) => ("member", id),
            (MentionKind::Agent, Some(id)) => ("agent", id),
            _ => continue,
        };
        added.extend(add(conn, issue, who, "mentioned", now).await?);
    }
    Ok(added)
}

/// Tells clients of new followers.
pub fn tell(app: &App, workspace: WorkspaceId, actor: Actor, added: &[Subscriber]) {
    for subscriber in added {
        app.events.by(actor, workspace, "subscriber:added", || subscriber.added());
    }
}

/// Tells clients of lines in an issue's timeline.
pub fn tell_activities(app: &App, actor: Actor, activities: &[Activity]) {
    for activity in activities {
        app.events.by(
            actor,
            activity.workspace_id,
            "activity:created",
            || json!({"issue_id": activity.issue_id, "entry": activity.entry()}),
        );
    }
}
