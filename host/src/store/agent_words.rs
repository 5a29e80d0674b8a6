//! What an agent says on an issue, with all that follows from it: one round trip to either database.

use super::comments::{bind_comment, insert_comment};
use super::conn::count_more;
use super::escalations::{end_standing_by, standing_by};
use super::issues::issue_columns;
use super::{Conn, StoreError};
use crate::model::issue::{Comment, Issue};
use crate::model::subscriber::Subscriber;

/// What became of a comment.
#[derive(Default)]
pub struct Spoken {
    pub issue: Option<Issue>,
    /// The author, who follows the issue from now on.
    pub follower: Option<Subscriber>,
}

struct Row {
    issue: Issue,
    is_new_follower: bool,
}

from_row!(Row { is_new_follower; issue });

const KIND: &str = "agent";
const REASON: &str = "commenter";

macro_rules! follow {
    () => {
        "INSERT INTO issue_subscriber (issue_id, user_type, user_id, reason, created_at) \
         SELECT i.id, $15, $5, $16, $13 FROM issue i WHERE i.id = $2 AND $17 \
            AND EXISTS (SELECT 1 FROM agent a WHERE a.workspace_id = i.workspace_id AND a.id = $5) \
         ON CONFLICT (issue_id, user_type, user_id) DO NOTHING"
    };
}

/// Stores a comment of an agent, and ends what stands by for its tasks on the issue: it has
/// spoken. With `follows` it follows the issue, if it belongs to the issue's workspace.
pub async fn insert(conn: &mut Conn, comment: &Comment, follows: bool) -> Result<Spoken, StoreError> {
    const SQLITE: &str = concat!(
        insert_comment!(),
        "; DELETE FROM task_token WHERE task_id IN
            (SELECT id FROM agent_task_queue INDEXED BY agent_task_queue_standing_by WHERE ",
        standing_by!("$2", "$5"),
        "); ",
        end_standing_by!("INDEXED BY agent_task_queue_standing_by", "$2", "$5", "$13"),
        "; ",
        follow!(),
        "; SELECT ",
        issue_columns!(),
        ", changes() > 0 AS is_new_follower FROM issue WHERE id = $2"
    );
    const POSTGRES: &str = concat!(
        "WITH spoken AS (",
        insert_comment!(),
        "), stood_by AS (",
        end_standing_by!("", "$2", "$5", "$13"),
        " RETURNING id), revoked AS (DELETE FROM task_token WHERE task_id IN (SELECT s.id FROM stood_by s)),
        follower AS (",
        follow!(),
        " RETURNING issue_id)
        SELECT ",
        issue_columns!(),
        ", EXISTS (SELECT 1 FROM follower) AS is_new_follower FROM issue WHERE id = $2"
    );
    let sql = by_engine!(conn, sqlite: SQLITE, postgres: POSTGRES);
    count_more(sql);
    // All rows, because SQLite goes no further than what is asked for.
    let mut rows: Vec<Row> = on_conn!(conn, |c| {
        bind_comment!(sqlx::query_as(sql), comment).bind(KIND).bind(REASON).bind(follows).fetch_all(c).await
    })?;
    let Some(Row { issue, is_new_follower }) = rows.pop() else { return Ok(Spoken::default()) };
    let follower = is_new_follower.then(|| Subscriber {
        issue_id: comment.issue_id,
        user_type: KIND.to_owned(),
        user_id: comment.author_id,
        reason: REASON.to_owned(),
        created_at: comment.created_at,
    });
    Ok(Spoken { issue: Some(issue), follower })
}
