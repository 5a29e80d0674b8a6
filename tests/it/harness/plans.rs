//! The statements that a gateway sends, out of its log, and how its database would run them.
//! The gateway must have been started with [`Gateway::talkative`].

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Engine, Gateway, Setup};

impl Gateway {
    /// A gateway that logs its statements, and does nothing by itself.
    pub fn talkative(engine: Engine) -> Setup {
        let setup = Self::setup(engine).flag("--sweep-every=0").env("SWITCHYARD_LOG_FORMAT", "json");
        setup.env("SWITCHYARD_LOG", "warn,sqlx::query=trace")
    }

    /// Every statement that reads or writes rows and was sent so far, once.
    pub async fn logged_statements(&self) -> BTreeSet<String> {
        // Lines come in order: when that of a question comes, all before it are there.
        const ASKED: &str = "\"summary\":\"SELECT 1\"";
        let before = self.log().iter().filter(|line| line.contains(ASKED)).count();
        self.anonymous().get("/readyz").await.expect(200);
        self.logged(ASKED, before + 1).await;
        let log = self.log();
        let lines = log.iter().filter(|line| line.contains("\"target\":\"sqlx::query\""));
        let statements = lines.filter_map(|line| {
            let fields = serde_json::from_str::<Value>(line).ok()?["fields"].take();
            // Short ones are their own summary.
            let whole = fields["db.statement"].as_str().filter(|text| !text.is_empty());
            Some(whole.or(fields["summary"].as_str())?.trim().to_owned())
        });
        let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
        statements
            .filter(|sql| verbs.iter().any(|verb| sql.starts_with(verb)) && !sql.contains("_sqlx_"))
            .collect()
    }

    /// How the database would run the statement, as text. `by_cost` is whether PostgreSQL may
    /// read a table that is small from end to end.
    pub async fn plan(&self, sql: &str, by_cost: bool) -> String {
        self.data.database.plan(sql, by_cost).await
    }

    /// What running the statement touches: steps of SQLite's machine, pages and rows of PostgreSQL. What
    /// it changes is taken back.
    pub async fn touched(&self, sql: &str) -> u64 {
        self.data.database.touched(sql).await
    }

    /// The indexes that hold some rows only.
    pub async fn partial_indexes(&self) -> BTreeSet<String> {
        let sql = match self.engine {
            Engine::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'",
            Engine::Postgres => "SELECT indexname AS name FROM pg_indexes WHERE indexdef LIKE '% WHERE %'",
        };
        let rows = self.rows(sql, Value::Null).await;
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }
}
