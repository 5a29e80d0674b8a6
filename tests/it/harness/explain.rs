//! How a database runs a statement, and what that touches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use super::database::Database;

impl Database {
    /// How a statement would be run whatever is bound to it. On PostgreSQL `by_cost` lets it
    /// read tables from end to end; else it does so only where no index would serve.
    pub async fn plan(&self, sql: &str, by_cost: bool) -> String {
        let lines: Vec<String> = match self {
            Self::Sqlite(pool) => {
                let explain = format!("EXPLAIN QUERY PLAN {sql}");
                let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(pool).await;
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
                rows.iter().map(|row| row.get("detail")).collect()
            }
            Self::Postgres(pool) => {
                let places = (1..100).take_while(|place| sql.contains(&format!("${place}"))).count();
                let nulls = if places == 0 {
                    String::new()
                } else {
                    format!("({})", vec!["NULL"; places].join(", "))
                };
                let seqscan = if by_cost { "on" } else { "off" };
                let mut conn = pool.acquire().await.unwrap();
                let before = format!(
                    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = {seqscan}; PREPARE asked AS {sql}"
                );
                let prepared = sqlx::raw_sql(AssertSqlSafe(before)).execute(&mut *conn).await;
                prepared.unwrap_or_else(|error| panic!("{sql}: {error}"));
                let explain = format!("EXPLAIN (COSTS OFF) EXECUTE asked{nulls}");
                let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *conn).await;
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
                let after = "DEALLOCATE asked; RESET plan_cache_mode; RESET enable_seqscan";
                sqlx::raw_sql(after).execute(&mut *conn).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        };
        lines.join("\n")
    }

    /// What running it touches: steps of SQLite's machine, pages and rows of PostgreSQL. It runs in a transaction that is taken back.
    pub async fn touched(&self, sql: &str) -> u64 {
        match self {
            Self::Sqlite(pool) => {
                let steps = Arc::new(AtomicU64::new(0));
                let counted = steps.clone();
                let mut transaction = pool.begin().await.unwrap();
                let mut handle = transaction.lock_handle().await.unwrap();
                handle.set_progress_handler(1, move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    true
                });
                drop(handle);
                let ran = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut *transaction).await;
                ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
                transaction.lock_handle().await.unwrap().remove_progress_handler();
                transaction.rollback().await.unwrap();
                steps.load(Ordering::Relaxed)
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await.unwrap();
                let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}");
                let row = sqlx::query(AssertSqlSafe(explain)).fetch_one(&mut *transaction).await;
                let plan: Value = row.unwrap_or_else(|error| panic!("{sql}: {error}")).get(0);
                transaction.rollback().await.unwrap();
                let root = &plan[0]["Plan"];
                let pages = |what: &str| root[what].as_u64().unwrap();
                pages("Shared Hit Blocks") + pages("Shared Read Blocks") + rows(root)
            }
        }
    }
}

/// The rows that a plan and its parts gave or threw away.
fn rows(plan: &Value) -> u64 {
    let number = |what: &str| plan[what].as_f64().unwrap_or(0.0);
    let each =
        number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Join Filter");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
    let own = (each * number("Actual Loops")) as u64;
    own + plan["Plans"].as_array().into_iter().flatten().map(rows).sum::<u64>()
}
