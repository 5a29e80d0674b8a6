//! What a gateway asks of its database: the statements that it really sends, out of its own
//! log, and how each reaches its rows.
//!
//! PostgreSQL sends along with every statement the plan that it followed and what it read, inside
//! functions and for foreign keys as well (`auto_explain`). SQLite says it of a statement that is
//! explained again, in the very text that was sent.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::gateway::Setup;
use super::{Engine, Gateway};

const LOG: &str = "warn,switchyard::http::observe=info,sqlx::query=trace,sqlx::postgres::notice=info";
/// Plans come as notices, which only who sent the statement gets to see.
const EXPLAINED: &str = "&options=-c%20session_preload_libraries%3Dauto_explain\
    %20-c%20auto_explain.log_min_duration%3D0%20-c%20auto_explain.log_analyze%3Don\
    %20-c%20auto_explain.log_buffers%3Don%20-c%20auto_explain.log_timing%3Doff\
    %20-c%20auto_explain.log_nested_statements%3Don%20-c%20auto_explain.log_format%3Djson\
    %20-c%20auto_explain.log_level%3Dnotice";
/// Far above what a line of the log takes to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// A statement that was sent.
#[derive(Clone, Debug)]
pub struct Statement {
    pub text: String,
    /// What PostgreSQL did.
    plan: Option<Value>,
}

/// A step of a plan that reaches rows of a table.
#[derive(Clone, Debug)]
pub struct Read {
    pub table: String,
    /// In the database's words.
    pub how: String,
    /// All of the table, or of an index, whatever is asked for.
    pub whole: bool,
    /// How many rows were looked at; SQLite does not say.
    pub rows: f64,
}

impl Setup {
    /// Its statements can be asked for, and it does nothing by itself.
    pub fn observed(self) -> Self {
        let setup = self.env("SWITCHYARD_LOG", LOG).env("SWITCHYARD_LOG_FORMAT", "json");
        setup.flag("--sweep-every=0").connection(EXPLAINED)
    }
}

impl Gateway {
    /// Everything that was asked of the database while `work` went on, in order.
    pub async fn statements_of(&self, work: impl AsyncFnOnce()) -> Vec<Statement> {
        let begin = self.mark().await;
        work().await;
        let end = self.mark().await;
        let lines = self.log_from(begin);
        lines.iter().take(end - begin).flat_map(|line| self.statements(line)).collect()
    }

    /// Has the gateway log a line that nothing else logs, and gives its place.
    async fn mark(&self) -> usize {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mark = format!("mark-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.admin().get("/mark").header("x-request-id", &mark).await;
        let mark = format!("\"{mark}\"");
        let find = async || {
            let mut seen = 0;
            loop {
                let lines = self.log_from(seen);
                if let Some(place) = lines.iter().position(|line| line.contains(&mark)) {
                    return seen + place;
                }
                seen += lines.len();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, find()).await.expect("requests are logged")
    }

    /// What a line tells of; SQLite is sent several statements as one text.
    fn statements(&self, line: &str) -> Vec<Statement> {
        let all = self.told(line).unwrap_or_default();
        let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
        let is_work = |statement: &Statement| {
            let verb = statement.text.split_whitespace().next().unwrap_or_default().to_uppercase();
            verbs.contains(&verb.as_str())
        };
        all.into_iter().filter(is_work).collect()
    }

    fn told(&self, line: &str) -> Option<Vec<Statement>> {
        let line: Value = serde_json::from_str(line).ok()?;
        let fields = &line["fields"];
        match (self.engine, line["target"].as_str()?) {
            (Engine::Sqlite, "sqlx::query") => {
                let texts =
                    [&fields["db.statement"], &fields["summary"]].map(|text| text.as_str().unwrap().trim());
                let text = texts.into_iter().find(|text| !text.is_empty())?;
                let each = text.split(';').map(|text| Statement { text: text.trim().to_owned(), plan: None });
                Some(each.collect())
            }
            (Engine::Postgres, "sqlx::postgres::notice") => {
                let (_, plan) = fields["message"].as_str()?.split_once("plan:\n")?;
                let plan: Value = serde_json::from_str(plan).unwrap();
                let text = plan["Query Text"].as_str().unwrap().to_owned();
                Some(vec![Statement { text, plan: Some(plan) }])
            }
            _ => None,
        }
    }

    /// How the statement reaches the rows of each table, as the database would go about it now; on
    /// PostgreSQL as it did.
    pub async fn reads(&self, statement: &Statement) -> Vec<Read> {
        if let Some(plan) = &statement.plan {
            let mut reads = Vec::new();
            visit(&plan["Plan"], &mut |node| reads.extend(read_of(node)));
            return reads;
        }
        let tables = self.tables().await;
        let plan = self.rows(&format!("EXPLAIN QUERY PLAN {}", statement.text), Value::Null).await;
        let steps: Vec<&str> = plan.iter().map(|row| row["detail"].as_str().unwrap()).collect();
        // A subquery that has a table's alias.
        let is_made = |step: &str| {
            let name = step.strip_prefix("SCAN ");
            name.is_some_and(|name| {
                ["CO-ROUTINE", "MATERIALIZE"].iter().any(|how| steps.contains(&&*format!("{how} {name}")))
            })
        };
        let steps = steps.iter().filter(|step| !is_made(step));
        steps.filter_map(|step| scan_of(step, &statement.text, &tables)).collect()
    }

    async fn tables(&self) -> BTreeSet<String> {
        const SQL: &str = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let rows = self.rows(SQL, Value::Null).await;
        rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }
}

impl Statement {
    /// Whether it only wraps others, which are told of by themselves.
    fn is_wrapper(&self) -> bool {
        let called =
            |node: &Value| node["Function Name"].as_str().is_some_and(|name| !BUILT_IN.contains(&name));
        let mut wraps = false;
        self.plan.iter().for_each(|plan| visit(&plan["Plan"], &mut |node| wraps |= called(node)));
        wraps
    }

    /// Pages that PostgreSQL looked at, in memory or not.
    pub fn pages(&self) -> i64 {
        let Some(plan) = self.plan.as_ref().filter(|_| !self.is_wrapper()) else { return 0 };
        let count = |name: &str| plan["Plan"][name].as_i64().unwrap_or(0);
        count("Shared Hit Blocks") + count("Shared Read Blocks")
    }
}

/// Functions in a `FROM` that are PostgreSQL's own.
const BUILT_IN: [&str; 4] = ["unnest", "jsonb_to_recordset", "jsonb_array_elements", "jsonb_each"];

/// Goes over the steps of a PostgreSQL plan, children after their parent.
fn visit(node: &Value, see: &mut impl FnMut(&Value)) {
    see(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        visit(child, see);
    }
}

fn read_of(node: &Value) -> Option<Read> {
    let kind = node["Node Type"].as_str()?;
    let index = node["Index Name"].as_str();
    let how = [Some(kind), index, node["Index Cond"].as_str(), node["Filter"].as_str()];
    let how = how.into_iter().flatten().collect::<Vec<_>>().join(" ");
    // A bitmap of an index has no table of its own; the step above it has.
    let whole = match kind {
        "Seq Scan" | "Tid Range Scan" => true,
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => node["Index Cond"].is_null(),
        "Bitmap Heap Scan" | "Tid Scan" => false,
        _ => return None,
    };
    let table = node["Relation Name"].as_str().or(index)?.to_owned();
    let count = |name: &str| node[name].as_f64().unwrap_or(0.0);
    let each = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"].map(count);
    Some(Read { table, how, whole, rows: each.iter().sum::<f64>() * count("Actual Loops") })
}

/// SQLite calls a table by its alias, which the text explains.
fn scan_of(step: &str, text: &str, tables: &BTreeSet<String>) -> Option<Read> {
    let mut words = step.split_whitespace();
    let verb = words.next().filter(|verb| ["SCAN", "SEARCH"].contains(verb))?;
    let name = words.next()?;
    let alias = Regex::new(&format!(r#"(?i)\b(\w+)"?\s+(?:AS\s+)?{}\b"#, regex::escape(name))).unwrap();
    let named =
        alias.captures_iter(text).map(|found| found[1].to_owned()).find(|table| tables.contains(table));
    let table = named.or_else(|| tables.get(name).cloned())?;
    // An index that is made for the occasion reads all of the table.
    let whole = verb == "SCAN" || step.contains(" AUTOMATIC ");
    Some(Read { table, how: step.to_owned(), whole, rows: 0.0 })
}
