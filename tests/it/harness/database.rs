//! Rows as JSON, alike on both databases.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Column, PgPool, Row, SqlitePool, TypeInfo, ValueRef};
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Database {
    /// Connects at the first query.
    pub fn sqlite(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30));
        Self::Sqlite(SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options))
    }

    pub fn postgres(url: &str) -> Self {
        Self::Postgres(PgPoolOptions::new().max_connections(2).connect_lazy(url).unwrap())
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    /// Leaves the statement's transaction open, and with it every lock it took.
    pub async fn hold(&self, sql: &str) -> Held {
        let Self::Postgres(pool) = self else { panic!("SQLite has no locks that readers wait for") };
        let mut transaction = pool.begin().await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *transaction).await.unwrap();
        Held(transaction)
    }

    pub async fn execute(&self, sql: &str, arguments: &Value) -> u64 {
        let done = self.attempt(sql, arguments).await;
        done.unwrap_or_else(|error| panic!("{sql} with {arguments}: {error}"))
    }

    /// Gives what the database says against the statement, instead of failing the test.
    pub async fn attempt(&self, sql: &str, arguments: &Value) -> Result<u64, String> {
        let done = match self {
            Self::Sqlite(pool) => bound!(sql, arguments).execute(pool).await.map(|done| done.rows_affected()),
            Self::Postgres(pool) => {
                bound!(sql, arguments).execute(pool).await.map(|done| done.rows_affected())
            }
        };
        done.map_err(|error| error.to_string())
    }

    pub async fn rows(&self, sql: &str, arguments: &Value) -> Vec<Value> {
        let rows: Result<Vec<Value>, sqlx::Error> = match self {
            Self::Sqlite(pool) => {
                bound!(sql, arguments).fetch_all(pool).await.map(|rows| rows.iter().map(sqlite_row).collect())
            }
            Self::Postgres(pool) => bound!(sql, arguments)
                .fetch_all(pool)
                .await
                .map(|rows| rows.iter().map(postgres_row).collect()),
        };
        rows.unwrap_or_else(|error| panic!("{sql} with {arguments}: {error}"))
    }

    /// Adds a row; what is `null` is left to the column's default.
    pub async fn insert(&self, table: &str, row: &Value) {
        let members = row.as_object().expect("a row is an object");
        let (names, values): (Vec<&str>, Vec<Value>) = members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.as_str(), value.clone()))
            .unzip();
        let places: Vec<String> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let (names, places) = (names.join(", "), places.join(", "));
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({places})");
        self.execute(&sql, &Value::Array(values)).await;
    }
}

/// A transaction that is rolled back when this is dropped.
#[must_use = "the transaction ends when this is dropped"]
pub struct Held(sqlx::Transaction<'static, sqlx::Postgres>);

/// A query with its arguments. Both databases take the same Rust types.
macro_rules! bound {
    ($sql:expr, $arguments:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql.to_owned()));
        for argument in arguments($arguments) {
            query = match argument {
                Argument::Id(id) => query.bind(id),
                Argument::Time(time) => query.bind(time),
                Argument::Text(text) => query.bind(text),
                Argument::Whole(number) => query.bind(number),
                Argument::Real(number) => query.bind(number),
                Argument::Truth(truth) => query.bind(truth),
                Argument::Json(value) => query.bind(value),
            };
        }
        query
    }};
}
use bound;

enum Argument {
    Id(Uuid),
    Time(DateTime<Utc>),
    Text(String),
    Whole(i64),
    Real(f64),
    Truth(bool),
    Json(Value),
}

fn arguments(list: &Value) -> Vec<Argument> {
    let list = match list {
        Value::Null => &[],
        Value::Array(list) => list.as_slice(),
        other => panic!("arguments are a JSON list, not {other}"),
    };
    list.iter().map(argument).collect()
}

fn argument(value: &Value) -> Argument {
    match value {
        Value::String(text) => match (text.len(), Uuid::try_parse(text), text.parse()) {
            (36, Ok(id), _) => Argument::Id(id),
            (_, _, Ok(time)) => Argument::Time(time),
            _ => Argument::Text(text.clone()),
        },
        Value::Bool(truth) => Argument::Truth(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Argument::Whole(whole),
            None => Argument::Real(number.as_f64().unwrap()),
        },
        Value::Array(_) | Value::Object(_) => Argument::Json(value.clone()),
        Value::Null => panic!("write NULL into the query: a parameter of no type fits no column"),
    }
}

fn sqlite_row(row: &SqliteRow) -> Value {
    object(row.columns().iter().enumerate().map(|(place, column)| {
        let raw = row.try_get_raw(place).unwrap();
        let value = if raw.is_null() {
            Value::Null
        } else if column.type_info().name() == "BOOLEAN" {
            // Kept as a number; only the column knows.
            row.get::<bool, _>(place).into()
        } else {
            match raw.type_info().name() {
                "BLOB" => match row.try_get::<Uuid, _>(place) {
                    Ok(id) => id.to_string().into(),
                    Err(_) => row.get::<Vec<u8>, _>(place).into(),
                },
                "INTEGER" => row.get::<i64, _>(place).into(),
                "REAL" => row.get::<f64, _>(place).into(),
                _ => text(row.get_unchecked(place)),
            }
        };
        (column.name(), value)
    }))
}

fn postgres_row(row: &PgRow) -> Value {
    object(row.columns().iter().enumerate().map(|(place, column)| {
        let raw = row.try_get_raw(place).unwrap();
        let value = if raw.is_null() {
            Value::Null
        } else {
            match raw.type_info().name() {
                "UUID" => row.get::<Uuid, _>(place).to_string().into(),
                "INT2" => row.get::<i16, _>(place).into(),
                "INT4" => row.get::<i32, _>(place).into(),
                "INT8" => row.get::<i64, _>(place).into(),
                "FLOAT4" => row.get::<f32, _>(place).into(),
                "FLOAT8" => row.get::<f64, _>(place).into(),
                "BOOL" => row.get::<bool, _>(place).into(),
                "TIMESTAMPTZ" => time(row.get(place)),
                "JSON" | "JSONB" => row.get(place),
                _ => text(row.get_unchecked(place)),
            }
        };
        (column.name(), value)
    }))
}

fn object<'a>(members: impl Iterator<Item = (&'a str, Value)>) -> Value {
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// SQLite keeps times and documents as text, so text that reads as one is taken for one; on
/// both databases, so that a test sees the same.
fn text(text: String) -> Value {
    if let Ok(at) = text.parse::<DateTime<Utc>>() {
        return time(at);
    }
    let document = text.starts_with(['{', '[']).then(|| serde_json::from_str(&text).ok()).flatten();
    document.unwrap_or(Value::String(text))
}

fn time(at: DateTime<Utc>) -> Value {
    at.to_rfc3339_opts(SecondsFormat::Micros, true).into()
}
