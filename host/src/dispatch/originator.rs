//! Who stands at the top of the chain that made a task: a person, or nobody known.

use crate::model::ids::{TaskId, UserId};
use crate::model::issue::{Comment, Issue};
use crate::store::{Conn, StoreError, tasks};

/// For an issue's task. With a trigger comment only the comment counts, even when it leads
/// nowhere; without one it is the issue's creator, whoever assigned it.
pub async fn of_issue_task(
    conn: &mut Conn,
    issue: &Issue,
    trigger: Option<&Comment>,
) -> Result<Option<UserId>, StoreError> {
    match trigger {
        Some(comment) => match comment.author_type.as_str() {
            "member" => Ok(Some(UserId(comment.author_id))),
            "agent" => of_task(conn, comment.source_task_id).await,
            _ => Ok(None),
        },
        None if issue.creator_type == "member" => Ok(Some(UserId(issue.creator_id))),
        None if issue.origin_type.as_deref() == Some("quick_create") => {
            of_task(conn, issue.origin_id.map(TaskId)).await
        }
        None => Ok(None),
    }
}

/// The originator stored with a task; nobody when there is no such task.
pub async fn of_task(conn: &mut Conn, task: Option<TaskId>) -> Result<Option<UserId>, StoreError> {
    match task {
        Some(id) => Ok(tasks::find(conn, id).await?.and_then(|task| task.originator_user_id)),
        None => Ok(None),
    }
}
