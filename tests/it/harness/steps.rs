//! How hard SQLite works for a statement: its virtual machine's steps, which are the same on every
//! machine and at every time of day.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use uuid::Uuid;

use super::{Gateway, Statement};

/// Whom a claim's statements are about. What they were sent with is in no log.
#[derive(Clone, Copy, Debug)]
pub struct About {
    pub runtime: Uuid,
    pub agent: Uuid,
    pub task: Uuid,
}

enum Value {
    Id(Uuid),
    Ids(String),
    Whole(i64),
    Time(DateTime<Utc>),
}

impl About {
    /// What fits in the place of a parameter, by what stands before it.
    fn value(self, before: &str) -> Value {
        let list = || {
            let ids = [self.runtime, self.agent, self.task].map(|id| id.simple().to_string());
            serde_json::to_string(&ids).unwrap()
        };
        let ends = |with: &str| before.ends_with(with);
        match () {
            () if ends("json_each(") => Value::Ids(list()),
            () if ends("LIMIT ") => Value::Whole(8),
            () if ends("runtime_id = ") => Value::Id(self.runtime),
            () if ends("agent_id = ") => Value::Id(self.agent),
            () if ends("id = ") => Value::Id(self.task),
            () if ends("dispatched_at < ") => Value::Time(Utc::now() - TimeDelta::seconds(90)),
            () => Value::Time(Utc::now()),
        }
    }

    fn values(self, text: &str) -> Vec<Value> {
        let place = |number: usize| {
            Regex::new(&format!(r"\${number}\b")).unwrap().find(text).map(|found| found.start())
        };
        (1..).map_while(place).map(|start| self.value(&text[..start])).collect()
    }
}

impl Gateway {
    /// Runs those of the statements that look into the queue, one after the other, takes everything
    /// back, and gives the steps and how many rows left the queue.
    pub async fn steps(&self, statements: &[Statement], about: About) -> (u64, usize) {
        let mut conn = SqliteConnection::connect(&self.database_url()).await.unwrap();
        let steps = Arc::<AtomicU64>::default();
        let counted = steps.clone();
        conn.lock_handle().await.unwrap().set_progress_handler(1, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        });
        // The first look at a table reads the schema and what was counted.
        sqlx::query("SELECT count(*) FROM agent_task_queue WHERE id = $1")
            .bind(about.task)
            .execute(&mut conn)
            .await
            .unwrap();
        let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
        steps.store(0, Ordering::Relaxed);
        let mut left = 0;
        for Statement { text, .. } in statements {
            if text.starts_with("INSERT") || !text.contains("agent_task_queue") {
                continue;
            }
            let mut query = sqlx::query(AssertSqlSafe(text.clone()));
            for value in about.values(text) {
                query = match value {
                    Value::Id(id) => query.bind(id),
                    Value::Ids(list) => query.bind(list),
                    Value::Whole(number) => query.bind(number),
                    Value::Time(time) => query.bind(time),
                };
            }
            let rows = query.fetch_all(&mut *transaction).await;
            let rows = rows.unwrap_or_else(|error| panic!("{text}: {error}"));
            left += if text.contains("claim_epoch + 1") { rows.len() } else { 0 };
        }
        transaction.rollback().await.unwrap();
        (steps.load(Ordering::Relaxed), left)
    }
}
