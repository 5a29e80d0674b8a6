//! What agents said while they worked.

use serde_json::{Map, Value};

use super::{Conn, StoreError};
use crate::model::ids::TaskId;
use crate::model::message::TaskMessage;

from_row!(TaskMessage { id, task_id, seq, kind = "type", tool, content, input, output, created_at });

/// Adds a batch to one task, as one statement, all at the time of the first.
pub async fn insert_batch(conn: &mut Conn, task: TaskId, messages: &[TaskMessage]) -> Result<(), StoreError> {
    let Some(first) = messages.first() else { return Ok(()) };
    let rows = Value::Array(messages.iter().map(|message| row(message, conn)).collect());
    let sql = by_engine!(conn,
        sqlite: "INSERT INTO task_message (id, task_id, seq, type, tool, content, input, output, created_at)
            SELECT unhex(value ->> 'id'), $2, value ->> 'seq', value ->> 'type', value ->> 'tool',
                value ->> 'content', value -> 'input', value ->> 'output', $3
            FROM json_each($1)",
        postgres: "INSERT INTO task_message (id, task_id, seq, type, tool, content, input, output, created_at)
            SELECT m.id, $2, m.seq, m.type, m.tool, m.content, m.input, m.output, $3
            FROM jsonb_to_recordset($1) AS m
                (id uuid, seq int, type text, tool text, content text, input jsonb, output text)",
    );
    on_conn!(conn, |c| sqlx::query(sql)
        .bind(&rows)
        .bind(task)
        .bind(first.created_at)
        .execute(c)
        .await
        .map(drop))?;
    Ok(())
}

/// A task's messages in order; with `after`, only those of a greater number.
pub async fn list(conn: &mut Conn, task: TaskId, after: Option<i64>) -> Result<Vec<TaskMessage>, StoreError> {
    const SQL: &str = "SELECT id, task_id, seq, type, tool, content, input, output, created_at
        FROM task_message WHERE task_id = $1 AND seq > $2 ORDER BY seq, id";
    let after = after.unwrap_or(i64::MIN);
    Ok(on_conn!(conn, |c| sqlx::query_as(SQL).bind(task).bind(after).fetch_all(c).await)?)
}

/// Whether a task left any message.
pub async fn any(conn: &mut Conn, task: TaskId) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT 1 FROM task_message WHERE task_id = $1 LIMIT 1";
    let row: Option<i32> = on_conn!(conn, |c| sqlx::query_scalar(SQL).bind(task).fetch_optional(c).await)?;
    Ok(row.is_some())
}

/// A message as the statement reads it: absent members become NULL.
fn row(message: &TaskMessage, conn: &Conn) -> Value {
    let id = by_engine!(conn, sqlite: message.id.simple().to_string(), postgres: message.id.to_string());
    let mut row = Map::new();
    row.insert("id".to_owned(), id.into());
    row.insert("seq".to_owned(), message.seq.into());
    row.insert("type".to_owned(), message.kind.clone().into());
    let texts = [("tool", &message.tool), ("content", &message.content), ("output", &message.output)];
    for (name, text) in texts {
        if let Some(text) = text {
            row.insert(name.to_owned(), text.clone().into());
        }
    }
    if let Some(input) = &message.input {
        row.insert("input".to_owned(), input.clone());
    }
    Value::Object(row)
}
